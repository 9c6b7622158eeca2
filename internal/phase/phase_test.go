package phase

import (
	"flag"
	"fmt"
	"math/bits"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the tables of docs/ARCHITECTURE.md")

var (
	lifeNames      = [lives]string{"", "ComingUp", "CutOff", "Working", "Handing", "HandingOn", "Stopping", "Parting", "Recalled", "Parted", "Finishing"}
	eventNames     = [events]string{"Begin", "End", "WorkerEnded", "Leave", "Hand", "Handed", "Failed", "Depart"}
	doNames        = []string{"Note", "TellStopping", "SayReady", "EndContext", "CancelSuccessor", "PassOn", "CutShort", "Remember", "Repeat", "PassKept", "Refuse"}
	verdictNames   = [verdicts]string{"", "Early", "Alone", "Open", "Ready", "Decided", "Settled"}
	newsNames      = [news]string{"SetUp", "SaysReady", "Decides", "Cancels"}
	answerNames    = []string{"KeepFiles", "DropStderr", "TellReady", "Release", "CancelStart"}
	takeOverNames  = [takeOvers]string{"", "Rising", "RisingAlone", "Asking", "Took", "Waiting", "Promised", "Counted", "Orphan", "TakingOver", "Daemon", "Dropped", "DroppedAlone"}
	happeningNames = [happenings]string{"Works", "Waits", "Granted", "Insist", "Releases", "Leaves", "Asks", "WireEnds", "Gone", "Late", "Cancelled", "Ends", "Done"}
	actNames       = []string{"AskForLock", "WriteNumber", "SayTook", "Become", "StartTimer", "GiveUp", "SayEnding", "EndSelf", "Settle"}
	worksNotYet    = "a reload begins only where the worker has begun"
	beginsOnce     = "the worker begins once"
	endsOnce       = "the worker ends once, and has to begin before"
	noHandOver     = "no hand-over is on its way"
	oneReload      = "there is one reload at a time, and none after one that has gone well"
	noSuccessor    = "no successor waits for the end of this process"
	endOfHandOver  = "a process that ends waits until it is clear whose the daemon is"
)

// impossible says why the pairs that are no rows cannot come.
var impossible = map[Life]map[Event]string{
	ComingUp:  {WorkerEnded: endsOnce, Leave: worksNotYet, Hand: worksNotYet, Handed: noHandOver, Failed: noHandOver, Depart: noSuccessor},
	CutOff:    {WorkerEnded: endsOnce, Leave: worksNotYet, Hand: worksNotYet, Handed: noHandOver, Failed: noHandOver, Depart: noSuccessor},
	Working:   {Begin: beginsOnce, Handed: noHandOver, Failed: noHandOver, Depart: noSuccessor},
	Handing:   {Begin: beginsOnce, Leave: oneReload, Hand: oneReload, Depart: endOfHandOver},
	HandingOn: {Begin: beginsOnce, WorkerEnded: endsOnce, Leave: oneReload, Hand: oneReload, Depart: endOfHandOver},
	Stopping:  {Begin: beginsOnce, Handed: noHandOver, Failed: noHandOver, Depart: noSuccessor},
	Parting:   {Begin: beginsOnce, Leave: oneReload, Hand: oneReload, Handed: noHandOver, Failed: noHandOver},
	Recalled:  {Begin: beginsOnce, Leave: oneReload, Hand: oneReload, Handed: noHandOver, Failed: noHandOver},
	Parted:    {Begin: beginsOnce, WorkerEnded: endsOnce, Leave: oneReload, Hand: oneReload, Handed: noHandOver, Failed: noHandOver, Depart: "it has departed"},
	Finishing: {Begin: beginsOnce, Leave: oneReload, Hand: oneReload, Handed: noHandOver, Failed: noHandOver, Depart: noSuccessor},
}

// Every pair of state and event is a row, or cannot come, for a reason.
func TestEveryEventOfALifeHasARule(t *testing.T) {
	rows := 0
	for s := ComingUp; s < lives; s++ {
		for e := range events {
			_, ok := s.Next(e)
			why := impossible[s][e]
			if ok {
				rows++
			}
			if ok == (why != "") {
				t.Errorf("%s, %s: a row: %v; cannot come, because %q", lifeNames[s], eventNames[e], ok, why)
			}
		}
	}
	t.Logf("%d rows, %d pairs that cannot come", rows, int(lives-1)*int(events)-rows)
}

// Every pair of a take-over is a row, or cannot come.
func TestEveryHappeningOfATakeOverHasARule(t *testing.T) {
	rows := 0
	for s := Rising; s < takeOvers; s++ {
		for h := range happenings {
			_, ok := s.Next(h)
			why := ""
			rising := s == Rising || s == RisingAlone
			first := s == Asking || s == Took                                     // ready first
			after := s == Waiting || s == Promised || s == Counted || s == Orphan // the other order
			dropped, over := s == Dropped || s == DroppedAlone, s == TakingOver || s == Daemon
			dead := s == RisingAlone || s == Orphan || s == DroppedAlone // nothing can be said after the end of the wire
			says := h == Insist || h == Releases || h == Leaves || h == Asks || h == Cancelled || h == WireEnds
			switch {
			case h == Done && s != TakingOver:
				why = "it is the end of what Become means"
			case (h == Works || h == Waits) && !rising && !dropped:
				why = "the set-up is done once"
			case dead && says && !(s == DroppedAlone && h == WireEnds):
				why = "the wire has ended"
			case rising && h != Works && h != Waits && h != WireEnds && h != Cancelled:
				why = "nothing else is said, or waited for, before the set-up is done"
			case first && (h == Leaves || h == Asks || h == Gone || h == Late), after && (h == Granted || h == Insist || h == Releases):
				why = "that is of the other order"
			case after && h == Ends:
				why = "the worker has not begun, and a signal waits for the take-over"
			case s == Asking && h == Releases:
				why = "it is the answer to SayTook"
			case s == Waiting && h == Late:
				why = "Leaves starts the timer"
			case (s == Counted) && (h == Leaves || h == Asks), s == Promised && h == Leaves:
				why = "it is said once"
			case over && (h == Insist || h == Releases):
				why = "in that order nobody listens after Releases or WireEnds"
			}
			if ok {
				rows++
			}
			if ok == (why != "") {
				t.Errorf("%s, %s: a row: %v; cannot come, because %q", takeOverNames[s], happeningNames[h], ok, why)
			}
		}
	}
	t.Logf("%d rows, %d pairs that cannot come", rows, int(takeOvers-1)*int(happenings)-rows)
}

func TestAllNewsHaveARule(t *testing.T) {
	for v := Early; v < verdicts; v++ {
		for n := range news {
			_, ok := v.Next(n)
			cannot := n == SetUp && v != Early && v != Alone || n == SaysReady && (v == Early || v == Alone) // before the worker
			if ok == cannot {
				t.Errorf("%s, %s: a row: %v", verdictNames[v], newsNames[n], ok)
			}
		}
	}
}

// What cannot come changes nothing.
func TestWhatCannotComeChangesNothing(t *testing.T) {
	for s := ComingUp; s < lives; s++ {
		for e := range events {
			if n, ok := s.Next(e); !ok && (n.To != s || n.Do != 0) {
				t.Errorf("%s, %s: got %+v", lifeNames[s], eventNames[e], n)
			}
		}
	}
}

// walk visits all that can come from a begin, and gives for each state the states that
// can follow.
func walk(visit func(from Life, e Event, s Step)) map[Life][]Life {
	follow := map[Life][]Life{}
	todo := []Life{ComingUp}
	for len(todo) > 0 {
		s := todo[0]
		todo = todo[1:]
		if _, seen := follow[s]; seen {
			continue
		}
		follow[s] = []Life{}
		for e := range events {
			if n, ok := s.Next(e); ok {
				visit(s, e, n)
				follow[s] = append(follow[s], n.To)
				todo = append(todo, n.To)
			}
		}
	}
	return follow
}

// TestLife holds what must be true of each step that a life can take.
func TestLife(t *testing.T) {
	follow := walk(func(from Life, e Event, s Step) {
		at := lifeNames[from] + ", " + eventNames[e]
		has := func(d Do) bool { return s.Do&d != 0 }
		if from.Ending() && !s.To.Ending() && !(from == HandingOn) {
			t.Errorf("%s: a life that ends goes on", at)
		}
		if from.Begun() && !s.To.Begun() {
			t.Errorf("%s: the worker has begun, and has not", at)
		}
		if from.Left() && !s.To.Left() {
			t.Errorf("%s: the daemon is another's, and is not", at)
		}
		if e == End {
			// An end that somebody asks for ends this process, or the successor, or is kept
			// until it is clear which; if this process ends already, it ends sooner.
			ends := has(EndContext) && s.To.Ending()
			recalls := has(CancelSuccessor) && s.To == Recalled
			if !ends && !recalls && !has(Remember) && !has(PassOn) && !(has(CutShort) && from.Ending()) {
				t.Errorf("%s: the end that somebody has asked for is lost", at)
			}
		}
		if has(Remember) && !(s.To == Handing || s.To == HandingOn) {
			t.Errorf("%s: kept where nothing will repeat it", at)
		}
		if (from == Handing || from == HandingOn) && s.To != Handing && s.To != HandingOn && !has(Repeat) && !has(PassKept) {
			t.Errorf("%s: what was kept is forgotten", at)
		}
		if has(TellStopping) && !s.To.Ending() {
			t.Errorf("%s: the service manager hears of an end that does not come", at)
		}
		if has(TellStopping) && s.To.Left() && s.To != Recalled {
			t.Errorf("%s: the service manager hears of an end, but the daemon is another process's", at)
		}
		if !from.Ending() && s.To.Ending() && !s.To.Left() && s.To != HandingOn && !has(TellStopping) {
			t.Errorf("%s: the service manager does not hear of the end", at)
		}
		if !from.Ending() && s.To.Ending() && e != WorkerEnded && !has(EndContext) {
			t.Errorf("%s: the worker does not hear of the end", at)
		}
	})
	for s := ComingUp; s < lives; s++ {
		if _, ok := follow[s]; !ok {
			t.Errorf("%s is never reached", lifeNames[s])
		}
		if !ends(follow, s, map[Life]bool{}) {
			t.Errorf("%s: no way leads to an end", lifeNames[s])
		}
	}
}

func ends(follow map[Life][]Life, s Life, seen map[Life]bool) bool {
	if s == Stopping || s == Parted || s == Recalled || s == Finishing {
		return true
	}
	seen[s] = true
	for _, n := range follow[s] {
		if !seen[n] && ends(follow, n, seen) {
			return true
		}
	}
	return false
}

// TestVerdict: the launcher is told at most once, and let go once; what it has is taken
// back only as long as nobody counts on it.
func TestVerdict(t *testing.T) {
	type walker struct {
		v                              Verdict
		told, released, kept, complete bool
		cancelled                      bool
	}
	seen := map[walker]bool{}
	var from func(w walker)
	from = func(w walker) {
		if seen[w] {
			return
		}
		seen[w] = true
		for n := range news {
			s, ok := w.v.Next(n)
			if !ok {
				continue
			}
			next := w
			next.v = s.To
			at := fmt.Sprintf("%+v, %s", w, newsNames[n])
			if n == SetUp {
				next.complete = true
			}
			if s.Do&TellReady != 0 {
				if next.told {
					t.Errorf("%s: told twice", at)
				}
				next.told = true
			}
			if s.Do&Release != 0 {
				if next.released {
					t.Errorf("%s: released twice", at)
				}
				next.released = true
			}
			if s.Do&KeepFiles != 0 {
				if !next.complete {
					t.Errorf("%s: files are kept while the set-up makes more", at)
				}
				next.kept = true
			}
			if s.Do&CancelStart != 0 {
				if next.kept || next.told || next.released {
					t.Errorf("%s: cancelled too late", at)
				}
				next.cancelled = true
			}
			if n == Cancels && s.Do&CancelStart == 0 && w.v.Undecided() {
				t.Errorf("%s: a cancel that is not late is not heard", at)
			}
			if next.complete && !next.v.Undecided() && !next.kept {
				t.Errorf("%s: a daemon that counts as started can be taken back", at)
			}
			from(next)
		}
	}
	from(walker{v: Early})
	t.Logf("%d states", len(seen))
}

// set writes a set of effects.
func set[T Do | Answer | Act](s T, names []string) string {
	var list []string
	for i := range bits.Len(uint(s)) {
		if s>>i&1 != 0 {
			list = append(list, names[i])
		}
	}
	return strings.Join(list, ", ")
}

// TestArchitectureShowsTheTables: docs/ARCHITECTURE.md has the rules as they are.
func TestArchitectureShowsTheTables(t *testing.T) {
	compare(t, "life", table("event", lifeNames[:], eventNames[:], func(s, e int) (next int, do string, ok bool) {
		n, ok := Life(s).Next(Event(e))
		return int(n.To), set(n.Do, doNames), ok
	}))
	compare(t, "verdict", table("news", verdictNames[:], newsNames[:], func(s, e int) (next int, do string, ok bool) {
		n, ok := Verdict(s).Next(News(e))
		return int(n.To), set(n.Do, answerNames), ok
	}))
	compare(t, "take-over", table("what happens", takeOverNames[:], happeningNames[:], func(s, e int) (next int, do string, ok bool) {
		n, ok := TakeOver(s).Next(Happening(e))
		return int(n.To), set(n.Do, actNames), ok
	}))
}

// table writes all rows; states begin with 1.
func table(what string, states, events []string, next func(state, event int) (next int, do string, ok bool)) string {
	var b strings.Builder
	fmt.Fprintf(&b, "| state | %s | next | what follows |\n|---|---|---|---|\n", what)
	for s := 1; s < len(states); s++ {
		for e, event := range events {
			if to, do, ok := next(s, e); ok {
				fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", states[s], event, states[to], do)
			}
		}
	}
	return b.String()
}

func compare(t *testing.T, table, want string) {
	const file = "../../docs/ARCHITECTURE.md"
	text, err := os.ReadFile(file)
	if os.IsNotExist(err) {
		t.Skip("the documents are not here")
	}
	if err != nil {
		t.Fatal(err)
	}
	begin := "<!-- table of internal/phase: " + table + " -->\n"
	before, rest, ok := strings.Cut(string(text), begin)
	got, after, closed := strings.Cut(rest, "<!-- end -->\n")
	if !ok || !closed {
		t.Fatalf("%s has no place for the table %s", file, table)
	}
	if got == want {
		return
	}
	if *update {
		if err := os.WriteFile(file, []byte(before+begin+want+"<!-- end -->\n"+after), 0o666); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Errorf("%s: the table %s is not what the rules are; go test ./internal/phase -update writes it", file, table)
}
