package phase

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// A trace is what testkit.Recorder has written: the steps of all processes. Replayed is whether the
// walk knows them.

// recorded is one step of a trace.
type recorded struct {
	process, of  string // which process, and whose step it is there
	machine      string
	state, event uint8
	to           uint8
	test, line   string
}

// course is what became of one of whom a trace tells.
type course struct {
	process, machine string
	steps            []recorded
}

// Courses are those of a trace, in the order in which they begin.
type Courses []*course

// machine is a table as a trace knows it.
type machine struct {
	who            []who // in the walk
	states, events []string
	begins         []uint8
	next           func(state, event uint8) (to uint8, step string, ok bool)
}

var machines = map[string]machine{
	"Life": {[]who{aDaemon, anHeir}, lifeNames[:], lifeEventNames[:], []uint8{uint8(ComingUp)}, func(s, e uint8) (uint8, string, bool) {
		n, ok := Life(s).Next(LifeEvent(e))
		return uint8(n.To), fmt.Sprint(uint8(n.To), uint16(n.Do)), ok
	}},
	"Verdict": {[]who{aVerdict}, verdictNames[:], verdictEventNames[:], []uint8{uint8(Early)}, func(s, e uint8) (uint8, string, bool) {
		n, ok := Verdict(s).Next(VerdictEvent(e))
		return uint8(n.To), fmt.Sprint(uint8(n.To), uint16(n.Do)), ok
	}},
	"Successor": {[]who{aPredecessor}, successorNames[:], launchEventNames[:], []uint8{uint8(Spawned), uint8(SpawnedFirst)}, func(s, e uint8) (uint8, string, bool) {
		n, ok := Successor(s).Next(LaunchEvent(e))
		return uint8(n.To), fmt.Sprint(uint8(n.To), uint16(n.Do)), ok
	}},
	"Launch": {[]who{aLauncher}, launchNames[:], launchEventNames[:], []uint8{uint8(Launched), uint8(Named)}, func(s, e uint8) (uint8, string, bool) {
		n, ok := Launch(s).Next(LaunchEvent(e))
		return uint8(n.To), fmt.Sprint(uint8(n.To), uint16(n.Do)), ok
	}},
	"TakeOver": {[]who{aSuccessor}, takeOverNames[:], takeOverEventNames[:], []uint8{uint8(Rising)}, func(s, e uint8) (uint8, string, bool) {
		n, ok := TakeOver(s).Next(TakeOverEvent(e))
		return uint8(n.To), fmt.Sprint(uint8(n.To), uint16(n.Do)), ok
	}},
	"Keeper": {[]who{aKeeper}, keeperNames[:], keeperEventNames[:], []uint8{uint8(Tending)}, func(s, e uint8) (uint8, string, bool) {
		n, ok := Keeper(s).Next(KeeperEvent(e))
		return uint8(n.To), fmt.Sprint(uint8(n.To), uint16(n.Do)), ok
	}},
	"Follow": {[]who{aStop}, followNames[:], followEventNames[:], []uint8{uint8(Met)}, func(s, e uint8) (uint8, string, bool) {
		to, ok := Follow(s).Next(FollowEvent(e))
		return uint8(to), fmt.Sprint(uint8(to), 0), ok
	}},
	"Request": {nil, requestNames[:], requestEventNames[:], []uint8{uint8(Seeking)}, func(s, e uint8) (uint8, string, bool) {
		n, ok := Request(s).Next(RequestEvent(e))
		return uint8(n.To), fmt.Sprint(uint8(n.To), uint16(n.Do)), ok
	}},
	"Notification": {nil, notificationNames[:], notificationEventNames[:], []uint8{uint8(Unsaid)}, func(s, e uint8) (uint8, string, bool) {
		n := Notification(s).Next(NotificationEvent(e))
		return uint8(n.To), fmt.Sprint(uint8(n.To), 0), true
	}},
}

func (r recorded) String() string {
	m := machines[r.machine]
	return fmt.Sprintf("%s %s, %s", r.machine, m.states[r.state], m.events[r.event])
}

// ReadTrace gives the courses of a trace. An error is of a step
// that is in no table, or does not follow from the one before.
func ReadTrace(text string) (list Courses, errs []error) {
	wrong := func(r recorded, format string, args ...any) {
		errs = append(errs, fmt.Errorf("%s: %s", r.line, fmt.Sprintf(format, args...)))
	}
	current := map[[3]string]*course{}
	for line := range strings.Lines(text) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(f) != 8 {
			errs = append(errs, fmt.Errorf("%q is no step", line))
			continue
		}
		r := recorded{process: f[0] + " " + f[1], of: f[2], machine: f[3], line: line[:len(line)-1]}
		r.test, _, _ = strings.Cut(f[7], "/") // without the subtest
		m, ok := machines[r.machine]
		_, err := fmt.Sscan(f[4]+" "+f[5], &r.state, &r.event)
		if !ok || err != nil || int(r.state) >= len(m.states) || int(r.event) >= len(m.events) {
			wrong(r, "it is no step")
			continue
		}
		to, step, ok := m.next(r.state, r.event)
		if !ok || step != f[6] {
			wrong(r, "%s: the table has %s (%v)", r, step, ok)
		}
		r.to = to
		key := [3]string{r.process, r.of, r.machine}
		c := current[key]
		begins := slices.Contains(m.begins, r.state)
		switch last := c.last(); {
		case c == nil || last.to != r.state && begins:
			c = &course{process: r.process, machine: r.machine}
			current[key], list = c, append(list, c)
			if !begins {
				wrong(r, "%s: nothing begins so", r)
			}
		case last.to != r.state:
			wrong(r, "%s: it comes after %s, so it was %s", r, last, m.states[last.to])
		}
		c.steps = append(c.steps, r)
	}
	return list, errs
}

func (c *course) last() recorded {
	if c == nil {
		return recorded{}
	}
	return c.steps[len(c.steps)-1]
}

// What the walk leaves out.
const (
	saysTwice  = "only a worker that does not mean well says it twice, or out of turn; TestLaunch goes through all of that"
	stageFails = "the walk's stage does not fail"
	atOnce     = "a process of the walk ends with its wire"
	noRights   = "who stops has the rights"
	stopsOnly  = "the walk has somebody who stops, and nobody who signals or waits"
	named      = "the walk's kernel names who has the lock, and lets itself be asked"
	twoOnly    = "the walk's daemon is two processes at most; TestStopOfAChain has more"
	oneSignal  = "one signal of each kind comes to the walk's keeper; TestKeeper goes through more of them"
	nothing    = "the walk's daemon leaves nothing behind"
	setUpOnce  = "the walk's successor is set up in one step, and says both of its words then"
	noWindow   = "the walk asks only what a launcher hears, which has its own window"
	onceOnly   = "it comes once there"
)

// leftOut says why the walk does not take a step; "": it does.
func (r recorded) leftOut() string {
	m := machines[r.machine]
	state, event := m.states[r.state], m.events[r.event]
	is := func(s string, of ...string) bool { return slices.Contains(of, s) }
	switch r.machine {
	case "Launch":
		switch {
		case event == "Arrives" && !is(state, "Claimed", "LateClaim", "Recall"), event == "Claims" && is(state, "Claimed", "Admitted", "Found", "Running", "LateClaim", "Recall"):
			return saysTwice
		case event == "Executes" && !is(state, "Running", "Recall"),
			is(state, "Becoming", "RecallGone") && is(event, "Claims", "Locks", "Runs", "IsReady"):
			return saysTwice
		case event == "Fails" && is(state, "Launched", "LateStage", "Doubting"):
			return stageFails
		case event == "IsReady" && is(state, "Claimed", "Admitted", "Found", "LateClaim"), event == "Locks" && is(state, "Found", "Running"),
			event == "Runs" && is(state, "Running", "LateClaim", "Admitted"), state == "Running" && event == "Fails":
			return saysTwice
		}
		if state == "Claimed" && event == "Runs" {
			return saysTwice
		}
	case "Successor":
		switch {
		case is(state, "SettingUp", "SettingUpFirst") && is(event, "Claims", "Locks", "Executes"), state == "SettingUp" && event == "IsReady":
			return saysTwice
		case state == "SettingUp" && event == "HangsUp":
			return setUpOnce
		case is(state, "WireEndedEarly", "WireEnded") && is(event, "TimesOut", "CallOff"):
			return atOnce
		}
	case "Follow":
		switch {
		case event == "Denies":
			return noRights
		case event == "Does", event == "Misses" && is(state, "Held", "HeldNext"):
			return stopsOnly
		case is(event, "SeesOne", "SeesNot"):
			return named
		case event == "SeesYet":
			return twoOnly
		}
	case "Keeper":
		switch {
		case is(event, "Signalled", "Missed") && is(state, "Between", "BetweenAsked"), is(event, "Asked", "EndMissed") && state == "BetweenEnd":
			return oneSignal
		case state == "Pressing" && is(event, "Asked", "EndMissed", "Overdue"), is(state, "Killing", "Vacant"):
			return nothing
		}
	case "TakeOver":
		switch {
		case event == "Gone" && is(state, "TakingOver", "Daemon"), is(event, "Releases", "Leaves") && state == "Dropped":
			return onceOnly
		case event == "Late" && is(state, "Orphan", "TakingOver", "Daemon", "DroppedAlone"):
			return atOnce
		}
	case "Verdict":
		if event == "Endures" || is(state, "OpenLived", "DecidedLived") {
			return noWindow
		}
		if is(state, "Ready", "Settled") && event == "SaysReady" || event == "Decides" && is(state, "Alone", "Decided", "Settled") || event == "Cancels" && is(state, "Alone", "Decided", "Settled") {
			return onceOnly
		}
	case "Life":
		if state == "Recalled" && event == "End" {
			return onceOnly
		}
	}
	return ""
}

// taken reports whether the walk takes the step.
func (r recorded) taken(by *steps) bool {
	for _, w := range machines[r.machine].who {
		if by[w][r.state][r.event] {
			return true
		}
	}
	return machines[r.machine].who == nil
}

// TestTheWalkTakesEachRow: what the walk does not take has its reason.
func TestTheWalkTakesEachRow(t *testing.T) {
	walked := walked().reached
	taken, all := 0, 0
	for name, m := range machines {
		for s := 1; s < len(m.states); s++ {
			for e := range m.events {
				r := recorded{machine: name, state: uint8(s), event: uint8(e)}
				if _, _, ok := m.next(r.state, r.event); !ok || m.who == nil {
					continue
				}
				all++
				is, why := r.taken(&walked), r.leftOut()
				if is {
					taken++
				}
				if is == (why != "") {
					t.Errorf("%s: the walk takes it: %v; it does not, because %q", r, is, why)
				}
			}
		}
	}
	t.Logf("%d of %d rows", taken, all)
}

// LeftOut gives the steps of a trace that the walk leaves out, and how often they come.
func LeftOut(list Courses) map[string]int {
	left := map[string]int{}
	for _, c := range list {
		for _, r := range c.steps {
			if r.leftOut() != "" {
				left[r.String()]++
			}
		}
	}
	return left
}

// Without is a trace without what somebody has done from that step on, or without that step only:
// "Life Working, End". It is false then.
func Without(text, step string, only bool) string {
	var left []string
	var cut [3]string
	for line := range strings.Lines(text) {
		list, _ := ReadTrace(line)
		f := strings.Split(line, "\t")
		who := [3]string{f[0], f[2], f[3]}
		if cut[0] == "" && len(list) == 1 && list[0].steps[0].String() == step {
			cut = who
			if only {
				continue
			}
		}
		if who != cut || only {
			left = append(left, line)
		}
	}
	return strings.Join(left, "")
}

// Kind is what is there beside a daemon.
type Kind = kind

// Some kinds.
const (
	Detached  = detached
	Restarted = restarted
	Foreign   = foreign
	Kept      = kept
)

// Possible reports as an error that the walk has no way on which each does what it does in the trace.
// Of a daemon that is kept, and of one that a restart stops, the walk does not know the begin.
func Possible(list Courses, kind kind, first, killed bool) error {
	var all [2][whos][]recorded // of the first reload, and of another one
	generations := []string{}
	daemon, launcher, main := "", "", map[string]bool{}
	for _, c := range list {
		if c.machine == "Life" && (kind != restarted && daemon == "" || kind == restarted && len(main) > 0) {
			daemon = c.process // of a restart the second one, which may not have come as far
		}
		if c.machine == "Life" && !main[c.process] {
			main[c.process], generations = true, append(generations, c.process)
		}
	}
	for _, c := range list {
		if c.machine == "Launch" && !main[c.process] {
			launcher = c.process
		}
	}
	for _, c := range list {
		if machines[c.machine].who == nil {
			continue
		}
		who := machines[c.machine].who[0]
		switch is := c.process == daemon; {
		case who == aDaemon && !is:
			who = anHeir
		case who == aStop && kind == restarted && c.process == launcher:
			who = aGate
		case who == aVerdict && !is, who == aLauncher && c.process != launcher:
			continue // the walk does not ask when a successor is ready for whom
		}
		if kind == restarted && who == anHeir {
			continue // it is the daemon that was stopped
		}
		generation := slices.Index(generations, c.process)
		switch who {
		case aDaemon, aVerdict:
			all[0][who] = append(all[0][who], c.steps...)
		case anHeir, aSuccessor:
			if generation < 2 {
				all[0][who] = append(all[0][who], c.steps...)
			} else {
				all[1][who] = append(all[1][who], c.steps...)
			}
			if who == anHeir && generation == 1 {
				all[1][aDaemon] = append(all[1][aDaemon], c.steps...)
			}
		case aPredecessor:
			all[max(generation, 0)][who] = append(all[max(generation, 0)][who], c.steps...)
		default:
			all[0][who] = append(all[0][who], c.steps...)
			all[1][who] = append(all[1][who], c.steps...)
		}
	}
	if kind == kept {
		all[0][aVerdict], all[0][aLauncher], all[1][aLauncher] = nil, nil, nil
		if i := slices.IndexFunc(all[0][aDaemon], func(r recorded) bool { return LifeEvent(r.event) == Begin }); i >= 0 {
			all[0][aDaemon] = all[0][aDaemon][i+1:]
		}
	}
	// ends is whether there is no more to come: where another reload may come, of a successor that
	// has become the daemon only that it ends.
	ends := func(list []recorded, done uint8) bool {
		rest := list[done:]
		return len(rest) == 0 || len(rest) == 1 && rest[0].machine == "TakeOver" && TakeOver(rest[0].state) == Daemon
	}
	type moment struct {
		world
		done [whos]uint8
	}
	var steps []taken
	ok := true
	k := walker{theRules, faults{}, func(world, string) { ok = false }, func(a taken) { steps = append(steps, a) }}
	todo := []moment{{world: begins(kind, first)}}
	seen := map[moment]bool{todo[0]: true}
	farthest, far := todo[0], -1
	for len(todo) > 0 {
		m := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		want := all[0]
		done, whole := 0, 0
		if m.turned {
			want, done = all[1], 100
		}
		for i := range whos {
			done, whole = done+int(m.done[i]), whole+len(want[i])-int(m.done[i])
		}
		if whole == 0 && (m.turned || len(generations) < 3) {
			return nil
		}
		if done > far {
			farthest, far = m, done
		}
		k.each(m.world, func(n world) {
			to := moment{n, m.done}
			for _, a := range steps {
				at := to.done[a.who]
				if int(at) == len(want[a.who]) || want[a.who][at].state != a.state || want[a.who][at].event != a.event {
					ok = false
					break
				}
				to.done[a.who]++
			}
			if n.crashed && !m.crashed && !killed {
				ok = false
			}
			if ok && n.turned && !m.turned {
				for _, i := range []who{aDaemon, aPredecessor, aSuccessor} {
					ok = ok && ends(want[i], to.done[i])
				}
				to.done[aDaemon], to.done[anHeir], to.done[aPredecessor], to.done[aSuccessor] = to.done[anHeir], 0, 0, 0
			}
			if ok && !seen[to] {
				seen[to] = true
				todo = append(todo, to)
			}
			steps, ok = steps[:0], true
		})
	}
	var left []string
	want := all[0]
	if farthest.turned {
		want = all[1]
	}
	for i := range whos {
		if int(farthest.done[i]) < len(want[i]) {
			left = append(left, want[i][farthest.done[i]].String())
		}
	}
	return fmt.Errorf("the walk has no such way: it knows %d steps, and comes to %+v, where one of these should be next: %s", far, farthest.world, strings.Join(left, "; "))
}

// Count is how often a step was taken: "Life Working, End".
func Count(list Courses, step string) (n int) {
	for _, c := range list {
		for _, r := range c.steps {
			if r.String() == step {
				n++
			}
		}
	}
	return n
}
