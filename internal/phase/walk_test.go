package phase

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// The walk goes through all that can happen in a reload: the daemon and its successor, each
// with its own table, what they have said and is not heard yet, the lock, and the death of
// either at any moment. What the tables leave to the code around them (swap, relieve, takes in
// successor.go) is played here in a few lines.

// word is what one process says to the other.
type word uint8

const (
	_         word = iota
	running        // successor: set up
	nowReady       // successor: its worker is
	took           // successor
	leaving        // predecessor
	asks           // predecessor: release, in the order after
	release        // predecessor: release, in the order ready first
	cancelled      // predecessor
)

// mail is what is on its way, the oldest word in the lowest bits.
type mail uint32

func (m mail) with(w word) mail {
	for i := 0; i < 32; i += 4 {
		if m>>i == 0 {
			return m | mail(w)<<i
		}
	}
	panic("too many words")
}

// at says how far the predecessor is in what the code around the tables does.
type at uint8

const (
	idle      at = iota
	rising       // a successor comes up
	swapping     // it is being given the lock
	asking       // the worker has ended; does it take over?
	departing    // it does
	departed
	again // it died; another one comes up
	gone
)

// world is one moment.
type world struct {
	first bool // the order is ready first

	old   Life
	at    at
	ended bool // its worker
	kept  bool // an end, while it is not clear whose

	life    Life // of the successor, of which only Working, Stopping and CutOff are played
	take    TakeOver
	there   bool // it lives
	wire    bool // and has not heard the end of the wire
	waits   bool // for the lock
	told    bool // SIGTERM was sent to it
	second  bool // it is the second one
	toNew   mail
	toOld   mail
	timer   bool // Late can come
	lockOld bool // the old process has the lock
	lockNew bool

	was  bool // the successor has been the daemon
	heir bool // it lived, and was not told to end, when the old one was killed

	asked   bool // somebody has asked for the end
	crashed bool
	own     bool // a worker has ended by itself
}

func (w world) oldLives() bool { return w.at != gone }

type walker struct {
	life func(Life, Event) (Step, bool)
	take func(TakeOver, Happening) (Move, bool)
	bad  func(w world, what string)
}

func (k walker) step(w *world, e Event) Do {
	s, ok := k.life(w.old, e)
	if !ok {
		k.bad(*w, "old: "+eventNames[e])
	}
	w.old = s.To
	if s.Do&CancelSuccessor != 0 && w.there {
		w.toNew = w.toNew.with(cancelled)
	}
	if s.Do&PassOn != 0 && w.there {
		w.told = true
	}
	if s.Do&Remember != 0 {
		w.kept = true
	}
	return s.Do
}

func (k walker) happens(w *world, h Happening) {
	m, ok := k.take(w.take, h)
	if !ok {
		k.bad(*w, "new: "+happeningNames[h])
	}
	w.take = m.To
	k.follow(w, m.Do)
}

func (k walker) follow(w *world, do Act) {
	if do&AskForLock != 0 {
		w.waits = true
	}
	if do&SayTook != 0 && w.oldLives() {
		w.toOld = w.toOld.with(took)
	}
	if do&StartTimer != 0 {
		w.timer = true
	}
	if do&EndSelf != 0 {
		w.life = CutOff
	}
	if do&Become != 0 {
		if w.oldLives() && w.lockOld {
			k.bad(*w, "it becomes the daemon while the old one has the lock")
		}
		if !w.first && w.oldLives() {
			k.bad(*w, "it becomes the daemon while the old one works")
		}
		w.lockNew = true
		k.happens(w, Done)
		w.was = true
		if !w.first {
			w.life = Working
		}
	}
}

// spawn is a new successor.
func (w *world) spawn() {
	w.there, w.wire, w.waits, w.told, w.timer, w.life, w.take, w.toNew, w.toOld = true, true, false, false, false, ComingUp, Rising, 0, 0
}

// lost is the end of the successor.
func (w *world) lost() { w.there, w.lockNew, w.timer, w.waits, w.toNew = false, false, false, false, 0 }

// leaves is the end of the old process, however it comes.
func (w *world) leaves() { w.at, w.lockOld, w.toOld = gone, false, 0 }

// next are all the moments that can follow.
func (k walker) next(w world) (list []world) {
	add := func(f func(*world)) {
		n := w
		f(&n)
		list = append(list, n)
	}
	if w.oldLives() {
		// Somebody asks for the end of the daemon, once: of a process that finishes what it
		// has begun it is not.
		if !w.asked && w.old != Finishing {
			add(func(n *world) { n.asked = true; k.step(n, End) })
		}
		if !w.crashed {
			add(func(n *world) {
				n.crashed = true
				n.heir = n.there && n.take != Dropped && n.life != CutOff && !strings.Contains(n.toNew.String(), "c")
				n.leaves()
			})
		}
		if !w.ended && (w.old.Ending() || !w.own) {
			add(func(n *world) {
				n.own = n.own || !w.old.Ending()
				n.ended = true
				k.step(n, WorkerEnded)
			})
		}
		fails := func(n *world) { // the reload; a successor that lives is ended
			if n.at == swapping {
				n.lockOld = true
				do := k.step(n, Failed)
				n.at = idle
				if do&Repeat != 0 && n.kept {
					n.kept = false
					k.step(n, End)
				}
			}
			n.at = idle
			n.lost()
		}
		first, rest := word(w.toOld&15), w.toOld>>4
		switch {
		case w.at == idle && w.ended && w.old.Left() && !w.first:
			add(func(n *world) { // depart
				if n.old == Recalled {
					n.lost()
					n.leaves()
					return
				}
				n.at = asking
				if n.there {
					n.toNew = n.toNew.with(asks)
				}
			})
		case w.at == idle && w.ended:
			add(func(n *world) {
				if !n.old.Ending() {
					k.bad(*n, "it ends as if it did not")
				}
				n.leaves()
			})
		case w.at == rising && first == running && !w.first || w.at == rising && first == nowReady:
			add(func(n *world) {
				n.toOld = rest
				e := Leave
				if n.first {
					e = Hand
				}
				switch do := k.step(n, e); {
				case do&Refuse != 0:
					fails(n)
				case n.first:
					n.at, n.lockOld = swapping, false
				default:
					n.at = idle
					n.toNew = n.toNew.with(leaving)
				}
			})
		case w.at == swapping && first == took:
			add(func(n *world) {
				n.toOld = rest
				n.toNew = n.toNew.with(release)
				if do := k.step(n, Handed); do&PassKept != 0 && n.kept {
					n.told = true
				}
				n.kept, n.at = false, idle
			})
		case w.at == asking && first == took:
			add(func(n *world) { n.toOld = rest; n.at = departing })
		case w.at == departing:
			add(func(n *world) {
				k.step(n, Depart)
				if n.at = departed; n.old == Recalled {
					n.lost()
				}
			})
		case w.at == departed:
			add(func(n *world) { n.leaves() })
		case w.at == again && first == running:
			add(func(n *world) { n.toOld = rest; n.at = asking; n.toNew = n.toNew.with(asks) })
		case first != 0: // not what it waits for
			add(func(n *world) { n.toOld = rest })
		}
		if !w.there && first == 0 {
			switch w.at {
			case rising, swapping:
				add(fails)
			case asking, again:
				add(func(n *world) {
					if n.second || n.old == Recalled { // twice in a row is given up
						n.leaves()
						return
					}
					n.second = true
					n.spawn()
					n.at = again
				})
			}
		}
		if w.at == again && w.old == Recalled || w.at == asking && w.old == Recalled {
			add(func(n *world) { n.lost(); n.leaves() })
		}
		if w.at == swapping { // it takes too long
			add(fails)
		}
	}
	if w.there {
		if !w.crashed {
			add(func(n *world) { n.crashed = true; n.lost() })
		}
		first, rest := word(w.toNew&15), w.toNew>>4
		if h, ok := map[word]Happening{leaving: Leaves, asks: Asks, release: Releases, cancelled: Cancelled}[first]; ok {
			add(func(n *world) { n.toNew = rest; k.happens(n, h) })
		}
		if w.wire && !w.oldLives() && first == 0 {
			add(func(n *world) { n.wire = false; k.happens(n, WireEnds) })
		}
		if w.life == ComingUp && (w.take == Rising || w.take == RisingAlone) {
			add(func(n *world) {
				if n.oldLives() {
					n.toOld = n.toOld.with(running)
				}
				if n.first {
					k.happens(n, Works)
					n.life = Working
				} else {
					k.happens(n, Waits)
				}
			})
		}
		if w.first && w.life == Working && w.oldLives() && w.at == rising && !strings.Contains(w.toOld.String(), "r") {
			add(func(n *world) { n.toOld = n.toOld.with(nowReady) })
		}
		if w.waits && !w.lockOld && !w.lockNew {
			add(func(n *world) { n.lockNew, n.waits = true, false; k.happens(n, Granted) })
		}
		if !w.first && !w.oldLives() && (w.take == Waiting || w.take == Promised || w.take == Counted || w.take == Orphan) {
			add(func(n *world) { k.happens(n, Gone) })
		}
		if w.timer && w.oldLives() { // else it is Gone instead
			add(func(n *world) { n.timer = false; k.happens(n, Late) })
		}
		if !w.own && w.life == Working && (w.take == Asking || w.take == Took || w.take == Daemon) {
			add(func(n *world) { n.own, n.life = true, Stopping })
		}
		// SIGTERM has its effect where the worker has begun, and the rest of an end.
		if w.told && w.life == Working {
			add(func(n *world) { n.told = false; n.life = Stopping })
		}
		if w.life == Stopping || w.life == CutOff {
			if w.take == Rising || w.take == RisingAlone || w.take == Waiting || w.take == Promised || w.take == Counted || w.take == Orphan {
				if w.life == CutOff {
					add(func(n *world) { n.lost() })
				}
			} else {
				add(func(n *world) {
					k.happens(n, Ends)
					if n.take != Took && n.take != TakingOver { // else it waits until it is clear
						n.lost()
					}
				})
			}
		}
		if w.take == Dropped || w.take == DroppedAlone {
			add(func(n *world) { n.lost() })
		}
	}
	return list
}

func (m mail) String() string {
	var b strings.Builder
	for ; m != 0; m >>= 4 {
		b.WriteByte(" .rtlsec"[m&15])
	}
	return b.String()
}

// visit goes through all moments, and gives how many there are and what is wrong.
func visit(life func(Life, Event) (Step, bool), take func(TakeOver, Happening) (Move, bool)) (states int, faults []string) {
	seenFault := map[string]bool{}
	fault := func(w world, what string) {
		if !seenFault[what] {
			seenFault[what] = true
			faults = append(faults, fmt.Sprintf("%s: old %s at %d, new %s (%s), %+v", what, lifeNames[w.old], w.at, takeOverNames[w.take], lifeNames[w.life], w))
		}
	}
	k := walker{life, take, fault}
	var todo []world
	follow := map[world][]world{}
	well := map[bool]bool{} // by order
	for _, first := range []bool{true, false} {
		w := world{first: first, old: Working, at: rising, lockOld: true}
		w.spawn()
		todo = append(todo, w)
	}
	for len(todo) > 0 {
		w := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if _, seen := follow[w]; seen {
			continue
		}
		list := k.next(w)
		follow[w] = list
		todo = append(todo, list...)
		check(w, list, fault)
		well[w.first] = well[w.first] || w.was && !w.crashed && !w.asked
	}
	if !well[true] || !well[false] {
		fault(world{}, "no reload ever goes well")
	}
	// Nothing is blocked for ever: an end is reached from everywhere, without another crash.
	back := map[world][]world{}
	reached := map[world]bool{}
	var ends []world
	for w, list := range follow {
		over := true
		for _, n := range list {
			if n.crashed == w.crashed && n.asked == w.asked && n.own == w.own {
				back[n] = append(back[n], w)
				over = false
			}
		}
		if over {
			ends = append(ends, w)
			reached[w] = true
		}
	}
	for len(ends) > 0 {
		w := ends[0]
		ends = ends[1:]
		for _, p := range back[w] {
			if !reached[p] {
				reached[p] = true
				ends = append(ends, p)
			}
		}
	}
	for w := range follow {
		if !reached[w] {
			fault(w, "no way leads to an end")
		}
	}
	return len(follow), faults
}

// check holds what must be true of a moment.
func check(w world, list []world, fault func(world, string)) {
	newIs := w.there && w.take == Daemon
	if newIs && w.oldLives() && !w.old.Left() && w.at != swapping {
		fault(w, "there are two daemons")
	}
	if !w.first && w.there && w.life == Working && w.oldLives() {
		fault(w, "two workers work")
	}
	quiet := true // nothing happens but what comes from outside
	for _, n := range list {
		if n.crashed == w.crashed && n.asked == w.asked && n.own == w.own {
			quiet = false
		}
	}
	if !quiet {
		return
	}
	oldIs := w.oldLives() && !w.old.Ending()
	if !oldIs && !newIs && !w.asked && !w.own && !w.crashed {
		fault(w, "there is no daemon, and nobody has asked for that")
	}
	if w.asked && (oldIs || newIs && w.life == Working) && !w.crashed {
		fault(w, "the end that somebody has asked for is lost")
	}
	if w.old == Finishing && !w.was && !w.crashed {
		fault(w, "the PID file is nobody's")
	}
	if w.heir && !w.was && !w.asked && !w.own {
		fault(w, "the successor of a daemon that was killed is not the daemon")
	}
	if w.there && !newIs {
		fault(w, "a successor is left over")
	}
	if w.oldLives() && w.old.Ending() {
		fault(w, "the old process does not end")
	}
}

func TestWalkThroughAReload(t *testing.T) {
	begin := time.Now()
	states, faults := visit(Life.Next, TakeOver.Next)
	t.Logf("%d states in %v", states, time.Since(begin).Round(time.Millisecond))
	for i, f := range faults {
		if i < 20 {
			t.Error(f)
		}
	}
}

// TestWalkFindsWhatIsWrong: each of these tables has one mistake.
func TestWalkFindsWhatIsWrong(t *testing.T) {
	for _, tt := range []struct {
		what string
		s    Life
		e    Event
		to   Step
	}{
		{"a signal during the hand-over is forgotten", Handing, End, Step{Handing, 0}},
		{"it ends the old process, which the daemon is not any more", Handing, End, Step{Stopping, EndContext}},
		{"it is not passed on", Handing, Handed, Step{Finishing, SayReady | EndContext}},
		{"it is not repeated", Handing, Failed, Step{Working, 0}},
		{"the old process goes on without a worker", HandingOn, Failed, Step{Working, Repeat}},
		{"a reload begins at the end", Stopping, Leave, Step{Parting, 0}},
		{"the lock is given away at the end", Stopping, Hand, Step{Handing, 0}},
		{"a stop while the successor waits is forgotten", Parting, End, Step{Parting, CutShort}},
		{"a stop in the last moment is forgotten", Parted, End, Step{Parted, 0}},
		{"a recalled successor takes over", Recalled, Depart, Step{Parted, 0}},
	} {
		life := func(s Life, e Event) (Step, bool) {
			if s == tt.s && e == tt.e {
				return tt.to, true
			}
			return s.Next(e)
		}
		if _, faults := visit(life, TakeOver.Next); len(faults) == 0 {
			t.Errorf("%s, and the walk finds nothing", tt.what)
		}
	}
	for _, tt := range []struct {
		what string
		s    TakeOver
		h    Happening
		to   Move
	}{
		{"it has said that it takes over, and ends", Took, Ends, Move{Dropped, Settle}},
		{"it loses its patience when the predecessor counts on it", Counted, Late, Move{Dropped, GiveUp | Settle}},
		{"it does not answer", Promised, Asks, Move{Counted, 0}},
		{"it does not say that it has the lock", Asking, Granted, Move{Took, 0}},
		{"it is the daemon before the old one has let go", Asking, Granted, Move{TakingOver, SayTook | Become}},
		{"it works while the old one does", Waiting, Leaves, Move{TakingOver, Become}},
		{"the death of the old one is not heard", Asking, WireEnds, Move{Asking, 0}},
		{"the death of the old one ends it", Took, WireEnds, Move{Dropped, EndSelf | Settle}},
		{"the end of the old one is not heard", Orphan, Gone, Move{Orphan, 0}},
		{"a dead predecessor's words are no happening", Daemon, Asks, Move{}},
	} {
		take := func(s TakeOver, h Happening) (Move, bool) {
			if s == tt.s && h == tt.h {
				return tt.to, tt.to.To != 0
			}
			return s.Next(h)
		}
		if _, faults := visit(Life.Next, take); len(faults) == 0 {
			t.Errorf("%s, and the walk finds nothing", tt.what)
		}
	}
}
