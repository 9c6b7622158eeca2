package phase

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// testdata/seen.txt names, for each row, tests in which real processes take it. What it says shows
// in the tables of docs/ARCHITECTURE.md, and is held by a recording of those tests: see Unseen.

// Update reports whether files are to be written, not compared.
func Update() bool { return *update }

const seenFile = "testdata/seen.txt"

// inTheTrace are the machines of a trace by their tables in docs/ARCHITECTURE.md.
var inTheTrace = map[string]string{
	"life": "Life", "verdict": "Verdict", "launch": "Launch", "successor": "Successor", "keeper": "Keeper", "notification": "Notification", "follow": "Follow", "request": "Request", "take-over": "TakeOver",
}

// readSeen gives the tests of each row: "Life Working, End".
func readSeen(t *testing.T) map[string][]string {
	t.Helper()
	text, err := os.ReadFile(seenFile)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string][]string{}
	for line := range strings.Lines(string(text)) {
		row, tests, ok := strings.Cut(strings.TrimSuffix(line, "\n"), " => ")
		if !ok || seen[row] != nil {
			t.Fatalf("%s: %q", seenFile, line)
		}
		seen[row] = strings.Fields(tests)
	}
	return seen
}

// SeenBy gives the rows that the test is said to take.
func SeenBy(t *testing.T, test string) (rows []string) {
	t.Helper()
	for row, tests := range readSeen(t) {
		if slices.Contains(tests, test) {
			rows = append(rows, row)
		}
	}
	return rows
}

// allRows gives what a trace calls them.
func allRows() (list []string) {
	for name, m := range machines {
		for s := 1; s < len(m.states); s++ {
			for e := range m.events {
				if _, _, ok := m.next(uint8(s), uint8(e)); ok {
					list = append(list, recorded{machine: name, state: uint8(s), event: uint8(e)}.String())
				}
			}
		}
	}
	slices.Sort(list)
	return list
}

// answer is a line of docs/ARCHITECTURE.md's "What happens when".
type answer struct {
	question    string
	rows, tests []string // "Life Working, End"; no rows, if it is no matter of these tables
}

var testName = regexp.MustCompile(`\bTest[A-Z][A-Za-z0-9]*`)

// rowsOf reads "life: Working, End; Stopping, End; keeper: Tending, Asked". A table counts until the next one.
func rowsOf(cell string) (rows []string) {
	table := ""
	for part := range strings.SplitSeq(cell, "; ") {
		if name, row, ok := strings.Cut(part, ": "); ok {
			table, part = name, row
		}
		rows = append(rows, inTheTrace[table]+" "+part)
	}
	return rows
}

// readAnswers reads them, and reports what is no row and what has no test.
func readAnswers(t *testing.T) (list []answer) {
	t.Helper()
	text, err := os.ReadFile(document)
	if os.IsNotExist(err) {
		t.Skip("the documents are not here")
	}
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(text), "<!-- answers: internal/phase holds their rows -->\n")
	table, _, closed := strings.Cut(rest, "<!-- end -->\n")
	if !ok || !closed {
		t.Fatalf("%s has no answers", document)
	}
	all := allRows()
	_, table, _ = strings.Cut(table, "|---|---|---|---|\n")
	for line := range strings.Lines(table) {
		cell := strings.Split(strings.Trim(line, "|\n"), "|")
		if len(cell) != 4 {
			t.Fatalf("%q has %d cells", line, len(cell))
		}
		for i := range cell {
			cell[i] = strings.TrimSpace(cell[i])
		}
		a := answer{question: cell[0], tests: testName.FindAllString(cell[3], -1)}
		if cell[2] != "" {
			a.rows = rowsOf(cell[2])
		} else if !strings.Contains(cell[1], "`") {
			t.Errorf("%s: there is no row, and no function is named", a.question)
		}
		for _, row := range a.rows {
			if !slices.Contains(all, row) {
				t.Errorf("%s: there is no row %q", a.question, row)
			}
		}
		if len(a.tests) == 0 {
			t.Errorf("%s: there is no test", a.question)
		}
		list = append(list, a)
	}
	return list
}

// TestArchitectureNamesRows: what docs/ARCHITECTURE.md answers names rows that there are, and the tables
// name its tests there.
func TestArchitectureNamesRows(t *testing.T) {
	seen, answers := readSeen(t), readAnswers(t)
	for _, a := range answers {
		for _, row := range a.rows {
			if !slices.ContainsFunc(a.tests, func(test string) bool { return slices.Contains(seen[row], test) }) {
				t.Errorf("%s: of the row %q %s has the tests %v", a.question, row, seenFile, seen[row])
			}
		}
	}
	for row := range seen {
		if !slices.Contains(allRows(), row) {
			t.Errorf("%s: there is no row %q (any more: name its tests at the row that has taken its place)", seenFile, row)
		}
	}
	t.Logf("%d answers; %d of %d rows have tests with processes", len(answers), len(seen), len(allRows()))
}

// Unseen gives the rows of which seen.txt names a test that is in one of the recordings, and does
// not take them there.
func Unseen(t *testing.T, recordings []Courses) (wrong []string) {
	t.Helper()
	by, ran := takenBy(recordings)
	for row, tests := range readSeen(t) {
		for _, test := range tests {
			if ran[test] && !by[row][test] {
				wrong = append(wrong, fmt.Sprintf("%s: %s does not take it", row, test))
			}
		}
	}
	slices.Sort(wrong)
	return wrong
}

// takenBy gives all tests, and for each row those that take it in each recording which has the
// test: what happens in one only has come by chance.
func takenBy(recordings []Courses) (by map[string]map[string]bool, ran map[string]bool) {
	by, ran = map[string]map[string]bool{}, map[string]bool{}
	times := map[[2]string]int{} // row, test; and of each test with the row ""
	for _, list := range recordings {
		here := map[[2]string]bool{}
		for _, c := range list {
			for _, r := range c.steps {
				if r.test != "" {
					here[[2]string{r.String(), r.test}], here[[2]string{"", r.test}] = true, true
				}
			}
		}
		for pair := range here {
			times[pair]++
		}
	}
	for pair, n := range times {
		row, test := pair[0], pair[1]
		if n < times[[2]string{"", test}] {
			continue
		}
		if row == "" {
			ran[test] = true
			continue
		}
		if by[row] == nil {
			by[row] = map[string]bool{}
		}
		by[row][test] = true
	}
	return by, ran
}

// WriteSeen writes seen.txt: of each row the tests that answer a question with it, and of others the
// one that it named before, or of those in the recordings the one that takes the fewest rows, which
// is about this one rather than by the way.
func WriteSeen(t *testing.T, recordings []Courses) {
	t.Helper()
	by, ran := takenBy(recordings)
	rows := map[string]int{}
	for _, tests := range by {
		for test := range tests {
			rows[test]++
		}
	}
	before, named := readSeen(t), map[string][]string{}
	for _, a := range readAnswers(t) {
		for _, row := range a.rows {
			for _, test := range a.tests {
				if by[row][test] || !ran[test] && slices.Contains(before[row], test) {
					named[row] = append(named[row], test)
				}
			}
		}
	}
	var b strings.Builder
	for _, row := range allRows() {
		tests := named[row]
		for _, test := range before[row] {
			if len(named[row]) == 0 && (by[row][test] || !ran[test]) {
				tests = append(tests, test)
			}
		}
		if len(tests) == 0 && len(by[row]) > 0 {
			tests = []string{slices.MinFunc(slices.Sorted(maps.Keys(by[row])), func(a, b string) int { return rows[a] - rows[b] })}
		}
		slices.Sort(tests)
		if tests = slices.Compact(tests); len(tests) > 0 {
			fmt.Fprintf(&b, "%s => %s\n", row, strings.Join(tests, " "))
		}
	}
	if err := os.WriteFile(seenFile, []byte(b.String()), 0o666); err != nil {
		t.Fatal(err)
	}
}
