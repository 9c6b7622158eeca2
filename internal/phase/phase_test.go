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
	lifeNames              = [lives]string{"", "ComingUp", "CutOff", "Working", "Handing", "HandingOn", "Stopping", "Parting", "Recalled", "Parted", "Finishing"}
	lifeEventNames         = [lifeEvents]string{"Begin", "End", "WorkerEnded", "Leave", "Hand", "Handed", "Failed", "Depart"}
	lifeEffectNames        = []string{"Note", "TellStopping", "SayReady", "EndContext", "CancelSuccessor", "PassOn", "CutShort", "Remember", "Repeat", "PassKept", "Refuse"}
	verdictNames           = [verdicts]string{"", "Early", "Alone", "Open", "OpenLived", "Ready", "Decided", "DecidedLived", "Settled"}
	verdictEventNames      = [verdictEvents]string{"SetUp", "SaysReady", "Endures", "Decides", "Cancels"}
	verdictEffectNames     = []string{"KeepFiles", "DropStderr", "Announce", "TellReady", "Release", "CancelStart"}
	takeOverNames          = [takeOvers]string{"", "Rising", "RisingAlone", "Asking", "Took", "Waiting", "Promised", "Counted", "Orphan", "TakingOver", "Daemon", "Dropped", "DroppedAlone"}
	takeOverEventNames     = [takeOverEvents]string{"Works", "Waits", "Granted", "Insist", "Releases", "Leaves", "Asks", "WireEnds", "Gone", "Late", "Cancelled", "Ends", "Done"}
	takeOverEffectNames    = []string{"AskForLock", "WriteNumber", "SayTook", "Become", "StartTimer", "GiveUp", "SayEnding", "EndSelf", "Settle"}
	launchNames            = [launches]string{"", "Launched", "Named", "Claimed", "AtGate", "Admitted", "Found", "Running", "Becoming", "Vanished", "Hushed", "Mute", "Replaced", "LateStage", "LateNamed", "LateClaim", "Doubting", "Doubted", "Recall", "RecallGone", "RecallEnds", "RecallReplaced", "Up", "Lived", "StillUp", "Fallen", "CalledOff"}
	launchEventNames       = [launchEvents]string{"Names", "Claims", "Arrives", "Opens", "Stays", "Locks", "Runs", "Executes", "IsReady", "Fails", "HangsUp", "Exits", "LivesOn", "TimesOut", "Tires", "CallOff"}
	launchEffectNames      = []string{"ShowLine", "StartWindow", "StopOther", "SayGo", "SayRelease", "SayCancel", "NewTime", "LookCloser", "GrantStop", "GrantWord", "SignalIt", "KillIt", "TakeAway", "QuoteIt"}
	successorNames         = [successors]string{"", "Spawned", "SpawnedFirst", "SettingUp", "SettingUpFirst", "WireEndedEarly", "WireEnded", "Usable", "Rejected", "Dead"}
	keeperNames            = [keepers]string{"", "Tending", "Dismissing", "Between", "BetweenEnd", "BetweenAsked", "Clearing", "Pressing", "Killing", "Vacant"}
	keeperEventNames       = [keeperEvents]string{"Asked", "Signalled", "EndMissed", "Missed", "Follows", "NoMore", "Overdue", "Cleared"}
	keeperEffectNames      = []string{"Pass", "KeepIt", "PassMiss", "PassAsks", "Ask", "AskRest", "StartPress", "KillRest", "StopPress"}
	notificationNames      = [notifications]string{"", "Unsaid", "SaidUp", "SaidReload", "SaidEnd"}
	notificationEventNames = [notificationEvents]string{"IsUp", "IsReloading", "IsEnding"}
	followNames            = [follows]string{"", "Met", "Held", "Lost", "MetNext", "HeldNext", "Left", "Served", "NotThere", "Unnamed", "Refused"}
	followEventNames       = [followEvents]string{"Proves", "Misses", "Outlived", "Denies", "Does", "Sees", "SeesOne", "SeesNil", "SeesNot", "SeesYet"}
	worksNotYet            = "a reload begins only where the worker has begun"
	beginsOnce             = "the worker begins once"
	endsOnce               = "the worker ends once, and has to begin before"
	noHandOver             = "no hand-over is on its way"
	oneReload              = "there is one reload at a time, and none after one that has gone well"
	noSuccessor            = "no successor waits for the end of this process"
	endOfHandOver          = "a process that ends waits until it is clear whose the daemon is"
)

// impossible says why the pairs that are no rows cannot come.
var impossible = map[Life]map[LifeEvent]string{
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
		for e := range lifeEvents {
			_, ok := s.Next(e)
			why := impossible[s][e]
			if ok {
				rows++
			}
			if ok == (why != "") {
				t.Errorf("%s, %s: a row: %v; cannot come, because %q", lifeNames[s], lifeEventNames[e], ok, why)
			}
		}
	}
	t.Logf("%d rows, %d pairs that cannot come", rows, int(lives-1)*int(lifeEvents)-rows)
}

// Every pair of a take-over is a row, or cannot come.
func TestEveryEventOfATakeOverHasARule(t *testing.T) {
	rows := 0
	for s := Rising; s < takeOvers; s++ {
		for h := range takeOverEvents {
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
			case s == DroppedAlone && (h == Leaves || h == Insist || h == Releases):
				why = "that is not said any more to one that is dropped"
			case dead && says && s != DroppedAlone:
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
				t.Errorf("%s, %s: a row: %v; cannot come, because %q", takeOverNames[s], takeOverEventNames[h], ok, why)
			}
		}
	}
	t.Logf("%d rows, %d pairs that cannot come", rows, int(takeOvers-1)*int(takeOverEvents)-rows)
}

// Every pair of a launch is a row, or cannot come.
func TestEveryEventOfALaunchHasARule(t *testing.T) {
	rows := 0
	for s := Launched; s < launches; s++ {
		for g := range launchEvents {
			_, ok := s.Next(g)
			why := ""
			word := g == Arrives || g == Locks || g == Runs || g == Executes || g == IsReady || g == Fails
			ended := s >= Vanished && s <= Replaced || s == RecallEnds || s == RecallReplaced
			switch {
			case s.Over():
				why = "the verdict is given"
			case s == AtGate && g != Opens && g != Stays, s != AtGate && (g == Opens || g == Stays):
				why = "while the other daemon is stopped nothing else is waited for"
			case g == Names && !s.Unnamed():
				why = "the process is known"
			case ended && (word && !(s == Replaced && g == IsReady) || g == Claims || g == HangsUp):
				why = "the wire has ended"
			case word && !s.Reached() && !(g == Fails && s.Unnamed()):
				why = "Claims is the daemon's first word; before that only the stage says that it fails"
			case g == Exits && !ended:
				why = "the process is waited for when the wire has ended"
			case g == LivesOn && s != Running && s != Becoming && s != Mute && s != Replaced:
				why = "there is a window where the worker works"
			case g == TimesOut && (s.Late() || s.Recalled()), g == Tires && !s.Late() && !s.Recalled() && s != Vanished && s != Hushed:
				why = "each state has one clock; Vanished and Hushed keep the one that runs"
			case g == CallOff && s.Recalled():
				why = "it is given up once"
			}
			if ok {
				rows++
			}
			if ok == (why != "") && s != AtGate || ok && s == AtGate && g != Opens && g != Stays {
				t.Errorf("%s, %s: a row: %v; cannot come, because %q", launchNames[s], launchEventNames[g], ok, why)
			}
		}
	}
	t.Logf("%d rows, %d pairs that cannot come", rows, int(launches-1)*int(launchEvents)-rows)
}

// TestLaunch holds what must be true of each way that a start can take.
func TestLaunch(t *testing.T) {
	type moment struct {
		l                 Launch
		line, told, clock bool
	}
	seen := map[moment]bool{}
	reached := map[Launch]bool{}
	var from func(m moment)
	from = func(m moment) {
		if seen[m] {
			return
		}
		seen[m], reached[m.l] = true, true
		for g := range launchEvents {
			c, ok := m.l.Next(g)
			if !ok {
				continue
			}
			at := fmt.Sprintf("%s, %s", launchNames[m.l], launchEventNames[g])
			n := moment{c.To, m.line || c.Do&ShowLine != 0, m.told || c.Do&SayCancel != 0, c.Do&GrantStop != 0 || m.clock}
			switch {
			case g == IsReady && c.To != Up:
				t.Errorf("%s: ready does not win", at)
			case g == CallOff && c.To != CalledOff && !c.To.Recalled():
				t.Errorf("%s: that the start is given up is forgotten", at)
			case m.l.Recalled() && c.To.Over() && c.To != Up && c.To != CalledOff:
				t.Errorf("%s: a start that is given up ends as another", at)
			case c.To == CalledOff && (c.Do&KillIt == 0 || c.Do&TakeAway == 0):
				t.Errorf("%s: something is left of a start that was given up", at)
			case c.Do&(KillIt|SignalIt) != 0 && !m.l.Recalled() && g != CallOff:
				t.Errorf("%s: a daemon is signalled that nobody has recalled", at)
			case c.Do&SayCancel != 0 && !c.To.Reached():
				t.Errorf("%s: who is not the daemon is told", at)
			case c.To == Recall && m.l != Recall && c.Do&SayCancel == 0:
				t.Errorf("%s: the daemon does not hear that it is given up", at)
			case m.l.Late() && g == HangsUp && c.To.Late():
				t.Errorf("%s: it is waited for again what has ended", at)
			case c.Do&QuoteIt != 0 != ((m.l == Replaced || m.l == RecallReplaced) && c.To.Over() && g != IsReady && g != LivesOn && !(m.l == Replaced && g == Exits)):
				t.Errorf("%s: what a program had to say is said of a program, with an error that has no words of it", at)
			case (m.l == Replaced || m.l == RecallGone) && (c.To == RecallEnds):
				t.Errorf("%s: that it is a program is forgotten", at)
			case c.To.Recalled() && !n.clock:
				t.Errorf("%s: nothing limits the wait", at)
			}
			if m.told && c.Do&SayCancel != 0 {
				t.Errorf("%s: told twice", at)
			}
			if m.line && c.Do&ShowLine != 0 {
				t.Errorf("%s: the line is shown twice", at)
			}
			from(n)
		}
	}
	from(moment{l: Launched})
	for s := Launched; s < launches; s++ {
		if !reached[s] {
			t.Errorf("%s is never reached", launchNames[s])
		}
		// Whatever the daemon says, or does not say: the clocks lead to a verdict.
		at, steps := s, 0
		for ; !at.Over() && steps < 10; steps++ {
			for _, g := range []LaunchEvent{Stays, TimesOut, Tires} {
				if c, ok := at.Next(g); ok {
					at = c.To
					break
				}
			}
		}
		if !at.Over() {
			t.Errorf("%s: no clock leads to a verdict", launchNames[s])
		}
	}
	t.Logf("%d moments", len(seen))
}

// Every pair of who brings up a successor is a row, or cannot come.
func TestEveryEventOfASuccessorHasARule(t *testing.T) {
	rows := 0
	for s := Spawned; s < successors; s++ {
		for g := range launchEvents {
			_, ok := s.Next(g)
			why := ""
			word := g == Claims || g == Locks || g == Runs || g == Executes || g == IsReady || g == Fails
			spawned, settingUp := s == Spawned || s == SpawnedFirst, s == SettingUp || s == SettingUpFirst
			switch {
			case s == Dead:
				why = "nothing comes of the dead"
			case g == Names || g == Arrives || g == Opens || g == Stays || g == LivesOn:
				why = "a successor has no stage, no gate, and no window"
			case (word || g == HangsUp) && !spawned && !settingUp:
				why = "it is not listened to: the wire has ended, or it is spoken to by who hands over, or to end"
			case word && spawned && g != Claims:
				why = "Claims is its first word"
			case g == Exits && !s.Silent() && s != Rejected:
				why = "the process is waited for when the wire has ended, or when it is to end"
			case (g == TimesOut || g == CallOff) && s == Rejected:
				why = "it is given up once"
			case g == TimesOut && s == Usable, g == Tires && s != Usable && s != Rejected:
				why = "each state has one clock"
			}
			if ok {
				rows++
			}
			if ok == (why != "") {
				t.Errorf("%s, %s: a row: %v; cannot come, because %q", successorNames[s], launchEventNames[g], ok, why)
			}
		}
	}
	t.Logf("%d rows, %d pairs that cannot come", rows, int(successors-1)*int(launchEvents)-rows)
}

// TestSuccessor holds what must be true of each way that a successor can take.
func TestSuccessor(t *testing.T) {
	type moment struct {
		r                           Successor
		first, said, worked, silent bool // what has come
		told, clock, killed         bool // what was done
	}
	seen := map[moment]bool{}
	reached := map[Successor]bool{}
	var from func(m moment)
	from = func(m moment) {
		if seen[m] {
			return
		}
		seen[m], reached[m.r] = true, true
		for g := range launchEvents {
			c, ok := m.r.Next(g)
			if !ok {
				continue
			}
			at := fmt.Sprintf("%s, %s, %+v", successorNames[m.r], launchEventNames[g], m)
			n := m
			n.r = c.To
			n.said = m.said || g == Claims
			n.worked = m.worked || g == IsReady || g == Runs && !m.first
			n.silent = m.silent || g == HangsUp
			n.told = m.told || c.Do&SayCancel != 0
			n.clock = m.clock || c.Do&(GrantStop|GrantWord) != 0
			n.killed = m.killed || c.Do&KillIt != 0
			switch {
			case c.To == Usable && (!n.said || !n.worked || n.silent):
				t.Errorf("%s: it gets the place, and is not there", at)
			case (g == Fails || g == TimesOut || g == CallOff || g == Exits) && c.To != Rejected && c.To != Dead:
				t.Errorf("%s: that it shall not have the place is forgotten", at)
			case c.To == Rejected && !n.told && !n.silent:
				t.Errorf("%s: it does not hear that it is to end", at)
			case c.To == Rejected && !n.clock:
				t.Errorf("%s: nothing limits the wait for its end", at)
			case c.Do&GrantStop != 0 && !n.said, c.Do&GrantWord != 0 && n.said:
				t.Errorf("%s: it has the wrong time to end", at)
			case c.To == Dead && !n.killed:
				t.Errorf("%s: something is left of it", at)
			case c.Do&KillIt != 0 && !n.told && !n.silent:
				t.Errorf("%s: killed without a word", at)
			case m.told && c.Do&SayCancel != 0, m.killed && c.Do&KillIt != 0:
				t.Errorf("%s: told or killed twice", at)
			case c.Do&^(StartWindow|SayCancel|GrantStop|GrantWord|KillIt) != 0:
				t.Errorf("%s: that is for a start", at)
			}
			from(n)
		}
	}
	from(moment{r: Spawned})
	from(moment{r: SpawnedFirst, first: true})
	for s := Spawned; s < successors; s++ {
		if !reached[s] {
			t.Errorf("%s is never reached", successorNames[s])
		}
		at := s // whatever it says, or does not say: the clocks lead to an end
		for _, g := range []LaunchEvent{TimesOut, Tires} {
			if c, ok := at.Next(g); ok {
				at = c.To
			}
		}
		if at != Dead {
			t.Errorf("%s: no clock leads to an end", successorNames[s])
		}
	}
	t.Logf("%d moments", len(seen))
}

// Every pair of a keeper is a row, or cannot come.
func TestEveryEventOfAKeeperHasARule(t *testing.T) {
	rows := 0
	for s := Tending; s < keepers; s++ {
		for c := range keeperEvents {
			_, ok := s.Next(c)
			why := ""
			switch {
			case c == EndMissed && (s == Tending || s == Between):
				why = "it is asked for before it is missed, and then never forgotten"
			case (c == Follows || c == NoMore) && s.Done():
				why = "the wire has ended"
			case c == Cleared && (!s.Done() || s == Vacant):
				why = "that is waited for once, at the end of the wire"
			case c == Overdue && s != Pressing && s != Vacant:
				why = "the clock runs in Pressing, and once"
			}
			if ok {
				rows++
			}
			if ok == (why != "") {
				t.Errorf("%s, %s: a row: %v; cannot come, because %q", keeperNames[s], keeperEventNames[c], ok, why)
			}
		}
	}
	t.Logf("%d rows, %d pairs that cannot come", rows, int(keepers-1)*int(keeperEvents)-rows)
}

// TestKeeper walks through what can come to a keeper: who is asked to end is asked, whatever
// generation it is, and what is left at the end is ended.
func TestKeeper(t *testing.T) {
	type moment struct {
		k      Keeper
		asked  bool // somebody has asked for the end
		kept   int8 // what is kept: 1 another signal, 2 one that asks
		heard  bool // the last generation was told to end, or what is left was
		gone   bool // the last generation
		passes int8 // a signal is on its way: 1 another, 2 one that asks
		timer  bool
	}
	seen := map[moment]bool{}
	var from func(m moment)
	from = func(m moment) {
		if seen[m] || m.k == Vacant {
			return
		}
		seen[m] = true
		add := func(c KeeperEvent, change func(*moment)) {
			n := m
			out, ok := m.k.Next(c)
			at := fmt.Sprintf("%s, %s, %+v", keeperNames[m.k], keeperEventNames[c], m)
			if !ok {
				t.Errorf("%s: no row", at)
				return
			}
			n.k = out.To
			change(&n)
			switch c {
			case Asked, Signalled:
				if out.Do&Pass != 0 {
					n.passes = map[KeeperEvent]int8{Asked: 2, Signalled: 1}[c]
				}
			case Follows:
				n.gone, n.heard = false, false
			}
			if out.Do&KeepIt != 0 {
				n.kept |= map[KeeperEvent]int8{EndMissed: 2, Missed: 1}[c]
			}
			if out.Do&(PassMiss|PassAsks) != 0 {
				if n.kept&2 != 0 {
					n.passes = 2
				}
				n.kept = 0
			}
			if out.Do&Ask != 0 {
				n.heard = true
			}
			if out.Do&AskRest != 0 {
				n.heard = true
			}
			if out.Do&StartPress != 0 {
				if m.timer {
					t.Errorf("%s: a second clock", at)
				}
				n.timer = true
			}
			if c == Follows && n.asked && !n.heard && n.passes != 2 {
				t.Errorf("%s: the next generation does not hear that the end was asked for", at)
			}
			if c == NoMore && n.kept != 0 {
				t.Errorf("%s: what was kept is forgotten", at)
			}
			if n.asked && n.gone && n.passes == 0 && !n.heard && n.k.Done() {
				t.Errorf("%s: what is left does not hear that the end was asked for", at)
			}
			from(n)
		}
		if m.passes != 0 { // it arrives, or not
			if !m.gone {
				n := m
				n.heard, n.passes = m.heard || m.passes == 2, 0
				from(n)
			} else {
				add(map[int8]KeeperEvent{1: Missed, 2: EndMissed}[m.passes], func(n *moment) { n.passes = 0 })
			}
			return
		}
		add(Asked, func(n *moment) { n.asked = true })
		add(Signalled, func(*moment) {})
		if !m.gone {
			n := m
			n.gone = true
			from(n)
		}
		if !m.k.Done() {
			add(Follows, func(*moment) {})
			if m.gone {
				add(NoMore, func(*moment) {})
			}
		}
		if m.k.Done() {
			add(Cleared, func(*moment) {})
		}
		if m.timer && m.k == Pressing {
			add(Overdue, func(n *moment) { n.timer = false })
		}
	}
	from(moment{k: Tending})
	t.Logf("%d moments", len(seen))
}

func TestNotification(t *testing.T) {
	for s := Unsaid; s < notifications; s++ {
		for c := range notificationEvents {
			n := s.Next(c)
			if n.To == 0 || n.Say != (n.To != s) || s == SaidEnd && n.Say {
				t.Errorf("%s, %s: got %+v", notificationNames[s], notificationEventNames[c], n)
			}
		}
	}
}

// Every pair of who follows a daemon is a row, or cannot come; and whatever hand-over comes
// in between, who has done something sees it through.
func TestEveryEventOfAFollowHasARule(t *testing.T) {
	rows := 0
	for s := Met; s < follows; s++ {
		for g := range followEvents {
			to, ok := s.Next(g)
			met, held, asks := s == Met || s == MetNext, s == Held || s == HeldNext, s == Lost || s == Left
			why := ""
			switch {
			case s.Over():
				why = "it is over"
			case g == Proves && !met, (g == Outlived || g == Does) && !held, (g == Misses || g == Denies) && !met && !held:
				why = "a process that is met is asked after, one that is held is acted upon"
			case g >= Sees && !asks:
				why = "who has the lock is asked when a process is gone"
			}
			if ok {
				rows++
			}
			if ok == (why != "") {
				t.Errorf("%s, %s: a row: %v; cannot come, because %q", followNames[s], followEventNames[g], ok, why)
			}
			next := s == MetNext || s == HeldNext || s == Left
			if ok && next && (to == NotThere || to == Met || to == Held || to == Lost) {
				t.Errorf("%s, %s: that something was done is forgotten", followNames[s], followEventNames[g])
			}
			if ok && g == SeesNot && to != Refused {
				t.Errorf("%s, %s: what cannot be told is taken for something", followNames[s], followEventNames[g])
			}
			if ok && to == Served && g != Does && g != SeesNil {
				t.Errorf("%s, %s: it is over, and nobody has looked for another process", followNames[s], followEventNames[g])
			}
			if ok && (to == Held || to == HeldNext) && g != Proves {
				t.Errorf("%s, %s: acted upon without proof", followNames[s], followEventNames[g])
			}
		}
	}
	t.Logf("%d rows, %d pairs that cannot come", rows, int(follows-1)*int(followEvents)-rows)
}

func TestEveryEventOfAVerdictHasARule(t *testing.T) {
	for v := Early; v < verdicts; v++ {
		for n := range verdictEvents {
			_, ok := v.Next(n)
			cannot := n == SetUp && v != Early && v != Alone || (n == SaysReady || n == Endures) && (v == Early || v == Alone) // before the worker
			cannot = cannot || n == Endures && (v == OpenLived || v == DecidedLived)                                           // once
			if ok == cannot {
				t.Errorf("%s, %s: a row: %v", verdictNames[v], verdictEventNames[n], ok)
			}
		}
	}
}

// What cannot come changes nothing.
func TestWhatCannotComeChangesNothing(t *testing.T) {
	for s := ComingUp; s < lives; s++ {
		for e := range lifeEvents {
			if n, ok := s.Next(e); !ok && (n.To != s || n.Do != 0) {
				t.Errorf("%s, %s: got %+v", lifeNames[s], lifeEventNames[e], n)
			}
		}
	}
}

// walk visits all that can come from a begin, and gives for each state the states that
// can follow.
func walk(visit func(from Life, e LifeEvent, s LifeStep)) map[Life][]Life {
	follow := map[Life][]Life{}
	todo := []Life{ComingUp}
	for len(todo) > 0 {
		s := todo[0]
		todo = todo[1:]
		if _, seen := follow[s]; seen {
			continue
		}
		follow[s] = []Life{}
		for e := range lifeEvents {
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
	follow := walk(func(from Life, e LifeEvent, s LifeStep) {
		at := lifeNames[from] + ", " + lifeEventNames[e]
		has := func(d LifeEffect) bool { return s.Do&d != 0 }
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
		announced                      bool
		cancelled                      bool
	}
	seen := map[walker]bool{}
	var from func(w walker)
	from = func(w walker) {
		if seen[w] {
			return
		}
		seen[w] = true
		for n := range verdictEvents {
			s, ok := w.v.Next(n)
			if !ok {
				continue
			}
			next := w
			next.v = s.To
			at := fmt.Sprintf("%+v, %s", w, verdictEventNames[n])
			if n == SetUp {
				next.complete = true
			}
			if s.Do&TellReady != 0 {
				if next.told {
					t.Errorf("%s: told twice", at)
				}
				next.told = true
			}
			if s.Do&Announce != 0 {
				if next.announced {
					t.Errorf("%s: announced twice", at)
				}
				next.announced = true
			}
			if (n == SaysReady || n == Endures) && !next.announced {
				t.Errorf("%s: not announced", at)
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
func set[T LifeEffect | VerdictEffect | TakeOverEffect | LaunchEffect | KeeperEffect | RequestEffect](s T, names []string) string {
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
	compare(t, "life", table(t, "life", lifeNames[:], lifeEventNames[:], func(s, e int) (next int, do string, ok bool) {
		n, ok := Life(s).Next(LifeEvent(e))
		return int(n.To), set(n.Do, lifeEffectNames), ok
	}))
	compare(t, "verdict", table(t, "verdict", verdictNames[:], verdictEventNames[:], func(s, e int) (next int, do string, ok bool) {
		n, ok := Verdict(s).Next(VerdictEvent(e))
		return int(n.To), set(n.Do, verdictEffectNames), ok
	}))
	compare(t, "launch", table(t, "launch", launchNames[:], launchEventNames[:], func(s, e int) (next int, do string, ok bool) {
		n, ok := Launch(s).Next(LaunchEvent(e))
		return int(n.To), set(n.Do, launchEffectNames), ok
	}))
	compare(t, "successor", table(t, "successor", successorNames[:], launchEventNames[:], func(s, e int) (next int, do string, ok bool) {
		n, ok := Successor(s).Next(LaunchEvent(e))
		return int(n.To), set(n.Do, launchEffectNames), ok
	}))
	compare(t, "keeper", table(t, "keeper", keeperNames[:], keeperEventNames[:], func(s, e int) (next int, do string, ok bool) {
		n, ok := Keeper(s).Next(KeeperEvent(e))
		return int(n.To), set(n.Do, keeperEffectNames), ok
	}))
	compare(t, "notification", table(t, "notification", notificationNames[:], notificationEventNames[:], func(s, e int) (next int, do string, ok bool) {
		n := Notification(s).Next(NotificationEvent(e))
		return int(n.To), map[bool]string{true: "it is said"}[n.Say], true
	}))
	compare(t, "follow", table(t, "follow", followNames[:], followEventNames[:], func(s, e int) (next int, do string, ok bool) {
		to, ok := Follow(s).Next(FollowEvent(e))
		return int(to), "", ok
	}))
	compare(t, "request", table(t, "request", requestNames[:], requestEventNames[:], func(s, e int) (next int, do string, ok bool) {
		n, ok := Request(s).Next(RequestEvent(e))
		return int(n.To), set(n.Do, requestEffectNames), ok
	}))
	compare(t, "take-over", table(t, "take-over", takeOverNames[:], takeOverEventNames[:], func(s, e int) (next int, do string, ok bool) {
		n, ok := TakeOver(s).Next(TakeOverEvent(e))
		return int(n.To), set(n.Do, takeOverEffectNames), ok
	}))
}

// table writes all rows, each with a test in which processes take it; states begin with 1.
func table(t *testing.T, name string, states, events []string, next func(state, event int) (next int, do string, ok bool)) string {
	t.Helper()
	var b strings.Builder
	seen := readSeen(t)
	b.WriteString("| state | event | next | what follows | seen by |\n|---|---|---|---|---|\n")
	for s := 1; s < len(states); s++ {
		for e, event := range events {
			if to, do, ok := next(s, e); ok {
				by := seen[inTheTrace[name]+" "+states[s]+", "+event]
				fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", states[s], event, states[to], do, strings.Join(by, ", "))
			}
		}
	}
	return b.String()
}

const document = "../../docs/ARCHITECTURE.md"

func compare(t *testing.T, table, want string) {
	const file = document
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
