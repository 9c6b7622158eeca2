package phase

import (
	"flag"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// The walk goes through all that can happen to a daemon and its successor, to its launcher, its
// keeper, its service manager, and to who stops it: each with its own table, what they have said
// and is not heard yet, the lock, and the death of any at any moment. What the tables leave to
// the code around them (swap, ensureSuccessor, takes and listen in internal/inside) is played here in
// a few lines. There are two reloads, one end that is asked for by a signal, one by who stops the
// daemon, one Ctrl-C, one death by SIGKILL, and one worker that ends by itself.

// word is what one process says to the other.
type word uint8

// Of the successor to the predecessor, and of the stage and the daemon to the launcher.
const (
	_        word = iota
	names         // the stage's
	claimsIt      // from here on the daemon's, or the successor's
	arrives
	locksIt
	runsIt
	executes
	readyIt
	failsIt
	took
)

// Of the predecessor to the successor.
const (
	_       word = iota
	leaving      // in the order after
	asks         // the same: release
	release      // the same, in the order ready first
	goOn         // in that order
	cancelled
)

// Of the launcher to the daemon.
const (
	_ word = iota
	goesIt
	releasesIt
	cancelsIt
)

// What it is for who hears it.
var (
	takeOverEvent = [...]TakeOverEvent{leaving: Leaves, asks: Asks, release: Releases, goOn: Insist, cancelled: Cancelled}
	heardAs       = [...]LaunchEvent{names: Names, claimsIt: Claims, arrives: Arrives, locksIt: Locks, runsIt: Runs, executes: Executes, readyIt: IsReady, failsIt: Fails}
)

// kind is who is there beside the daemon.
type kind uint8

const (
	bare      kind = iota // nobody
	detached              // its launcher, from the beginning on
	restarted             // the same, and the daemon whose place it is to have
	foreign               // its launcher, of a worker that becomes another program
	kept                  // its keeper
	managed               // its service manager
)

// start is how far a daemon is that has been launched.
type start uint8

const (
	unborn start = iota
	inMain
	settingUp // it has claimed
	gated     // beside the daemon that is to be stopped
	hasLock
	begun
	executing // it has given its signals back
	program   // which it has become
)

// other is the daemon that a restart stops.
type other uint8

const (
	none other = iota
	runs
	toEnd // it was told
)

// stage is how far the stage is, whose word may come after the daemon's first one.
type stage uint8

const (
	over    stage = iota // it has said all, or is dead
	forking              // it has not started the daemon
	forked
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
	idle       at = iota
	rising        // a successor comes up
	swapping      // it is being given the lock
	killing       // the same, in vain
	ending        // it must not be; all will be as before
	endingLast    // the same, and then this process ends
	asking        // the worker has ended; does it take over?
	departing     // it does
	departed
	again // it died; another one comes up
	gone
)

// bye says how far a successor is at its end.
type bye uint8

const (
	_      bye = iota
	ended      // its worker
	saidSo     // Ends
)

// world is one moment.
type world struct {
	first  bool // the order is ready first
	turned bool // there was a reload before

	old   Life
	at    at
	ended bool // its worker
	kept  bool // an end, while it is not clear whose

	brings  Successor // the successor, as the predecessor knows it
	life    Life      // its own
	end     bye
	take    TakeOver
	there   bool // it lives
	setUp   bool
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

	kind     kind
	start    start
	verdict  Verdict
	undone   bool // its start is cancelled
	hangs    bool // in its main
	stage    stage
	launcher bool // it lives
	launch   Launch
	toL      mail
	toD      mail
	dWire    bool // the daemon listens
	late     bool // the time of the start is over
	ctrlC    bool // the caller does not want it
	reloaded bool

	other  other
	gate   Follow // of who stops it: the launcher
	opened bool   // the gate

	keeper  bool // it lives
	keep    Keeper
	toK     bool // Took is on its way
	knows   bool // it knows the successor
	keptEnd bool // it keeps a signal that asks for the end
	keptHup bool // it keeps another one
	oldK    bool // the old process has the keeper's wire
	newK    bool

	unit uint8 // the service manager's main process: 1 or 2; 3: the unit is over

	follow Follow
	target uint8
	sent   bool // the stop signal

	asked   bool // somebody has asked for the end
	crashed bool
	own     bool // a worker has ended by itself
	said    bool // the worker has said that it is ready
	hup     bool // a signal came that does not ask for the end
	tried   bool // somebody's patience: something takes too long in a reload, or is not wanted any more
}

func (w world) launched() bool { return w.kind == detached || w.kind == restarted || w.kind == foreign }

func (w world) oldLives() bool { return w.at != gone }

type rules struct {
	life      func(Life, LifeEvent) (LifeStep, bool)
	take      func(TakeOver, TakeOverEvent) (TakeOverStep, bool)
	verdict   func(Verdict, VerdictEvent) (VerdictStep, bool)
	launch    func(Launch, LaunchEvent) (LaunchStep, bool)
	successor func(Successor, LaunchEvent) (SuccessorStep, bool)
	keeper    func(Keeper, KeeperEvent) (KeeperStep, bool)
	follow    func(Follow, FollowEvent) (Follow, bool)
}

var theRules = rules{Life.Next, TakeOver.Next, Verdict.Next, Launch.Next, Successor.Next, Keeper.Next, Follow.Next}

type walker struct {
	rules
	faults faults
	bad    func(w world, what string)
	took   func(a taken) // hears of each step
}

// who has a state of one of the tables.
type who uint8

const (
	aDaemon      who = iota // Life: the daemon, or the predecessor
	aVerdict                // Verdict: the same one's
	aLauncher               // Launch
	aPredecessor            // Successor
	anHeir                  // Life: the successor
	aSuccessor              // TakeOver
	aKeeper                 // Keeper
	aStop                   // Follow
	aGate                   // Follow: who stops the daemon that is in the way

	whos
)

// steps are those that were taken: by whom, in which state, at which event.
type steps [whos][32][32]bool

func (s *steps) count() (n int) {
	for _, states := range s {
		for _, events := range states {
			for _, is := range events {
				if is {
					n++
				}
			}
		}
	}
	return n
}

// taken is a step.
type taken struct {
	who          who
	state, event uint8
}

// faults are mistakes of the code around the tables.
type faults struct {
	again    bool // a daemon that is to end brings up another successor
	deaf     bool // a launched daemon does not hear the end of the wire
	unproved bool // who stops signals the process that was named first, and does not ask again
	noMain   bool // the old process ends before the service manager knows the new one
	trusting bool // a successor is counted upon that does not answer
	heedless bool // a worker that is to end becomes another program
	unlocked bool // a successor that has become the daemon has not the lock
	stale    bool // a keeper knows the generation before the last one
	rash     bool // a restart tells the old daemon to end, and does not wait for that
	lateDead bool // a successor's clock does not ask whether the old process is gone
}

func (k walker) step(w *world, e LifeEvent) LifeEffect {
	k.took(taken{aDaemon, uint8(w.old), uint8(e)})
	s, ok := k.life(w.old, e)
	if !ok {
		k.bad(*w, "old: "+lifeEventNames[e])
	}
	w.old = s.To
	if s.Do&CancelSuccessor != 0 {
		w.cancels()
	}
	if s.Do&PassOn != 0 && w.there {
		w.told = true
	}
	if s.Do&SayReady != 0 && w.launched() && w.verdict == Open {
		k.verdictStep(w, SaysReady)
	}
	if s.Do&Remember != 0 {
		w.kept = true
	}
	return s.Do
}

// signalled is a signal that asks the old process for the end: another program does not last.
func (k walker) signalled(w *world) {
	if w.start >= executing {
		w.leaves()
	} else {
		k.step(w, End)
	}
}

func (k walker) takeOverStep(w *world, h TakeOverEvent) {
	k.took(taken{aSuccessor, uint8(w.take), uint8(h)})
	m, ok := k.take(w.take, h)
	if !ok {
		k.bad(*w, "new: "+takeOverEventNames[h])
	}
	w.take = m.To
	k.follow(w, m.Do)
}

func (k walker) follow(w *world, do TakeOverEffect) {
	if do&AskForLock != 0 {
		w.waits = true
	}
	if do&WriteNumber != 0 && !w.lockOld {
		w.lockNew = true
	}
	if do&SayTook != 0 {
		w.tells(took)
	}
	if do&StartTimer != 0 {
		w.timer = true
	}
	if do&EndSelf != 0 {
		k.lives(w, End)
	}
	if do&Become != 0 {
		if w.oldLives() && w.lockOld {
			k.bad(*w, "it becomes the daemon while the old one has the lock")
		}
		if !w.first && w.oldLives() {
			k.bad(*w, "it becomes the daemon while the old one works")
		}
		w.lockNew = true
		if w.kind == kept {
			w.toK = w.keeper
		}
	}
}

// lives is a step in the successor's life.
func (k walker) lives(w *world, e LifeEvent) {
	k.took(taken{anHeir, uint8(w.life), uint8(e)})
	s, ok := k.life(w.life, e)
	if !ok {
		k.bad(*w, "new: "+lifeEventNames[e])
	}
	w.life = s.To
}

// successorStep is what the predecessor sees of the successor that it brings up.
func (k walker) successorStep(w *world, g LaunchEvent) {
	k.took(taken{aPredecessor, uint8(w.brings), uint8(g)})
	c, ok := k.successor(w.brings, g)
	if !ok {
		k.bad(*w, "old: "+successorNames[w.brings]+", "+launchEventNames[g])
	}
	w.brings = c.To
	if c.Do&SayCancel != 0 {
		w.cancels()
	}
	if c.Do&KillIt != 0 && w.at != swapping { // where it may hear of it first
		w.lost()
	}
}

// buries is the end of a successor that must not be.
func (k walker) buries(w *world) {
	if w.brings != Dead {
		g := Tires
		if !w.there {
			g = Exits
		}
		k.successorStep(w, g)
	}
	if w.brings == Dead && w.at == killing {
		w.lost()
	}
}

// tells is a word of the successor's, which is not heard any more once it is to end.
func (w *world) tells(word word) {
	if w.oldLives() && w.at != killing && w.at != ending && w.at != endingLast {
		w.toOld = w.toOld.with(word)
	}
}

func (w *world) cancels() {
	if w.there {
		w.toNew = w.toNew.with(cancelled)
	}
}

// gives gives up the successor, which hears of it, and is killed if need be.
func (k walker) gives(w *world, at at, g LaunchEvent) {
	if w.brings.ComingUp() || w.brings == Usable {
		k.successorStep(w, g)
	}
	w.at, w.toOld = at, 0
}

// spawn is a new successor.
func (w *world) spawn() {
	w.there, w.wire, w.waits, w.told, w.timer, w.take, w.toNew, w.toOld = true, true, false, false, false, Rising, 0, 0
	w.brings, w.life, w.end, w.setUp = Spawned, ComingUp, 0, false
	if w.first {
		w.brings = SpawnedFirst
	}
	w.newK = w.kind == kept
}

// lost is the end of the successor.
func (w *world) lost() {
	w.there, w.lockNew, w.timer, w.waits, w.toNew, w.newK = false, false, false, false, 0, false
	w.life, w.end, w.setUp, w.told = 0, 0, false, false
	if w.unit == 2 {
		w.unit = 3
		if w.oldLives() {
			w.leaves()
		}
	}
}

// turns makes the successor the old one of another reload, once nothing is left of the first one: one
// more after that one is as this.
func (k walker) turns(w *world) {
	follows := w.follow == 0 || w.target == 2 || w.follow == Left || w.follow == Lost || w.follow.Over()
	if w.turned || w.launched() || w.oldLives() || !w.there || w.take != Daemon || !w.life.Begun() || w.end != 0 ||
		w.wire || w.waits || w.told || w.toNew != 0 || w.toK || w.keeper && !w.knows || !follows {
		return
	}
	target := w.target / 2 // the second one is the first one
	*w = world{first: w.first, kind: w.kind, turned: true,
		old: w.life, lockOld: true, start: begun, verdict: Settled, oldK: w.newK, unit: w.unit / 2,
		keeper: w.keeper, keep: w.keep, keptEnd: w.keptEnd, keptHup: w.keptHup, hup: w.hup, follow: w.follow, target: target, sent: w.sent,
		asked: w.asked, crashed: w.crashed, own: w.own, said: w.said, tried: w.tried}
	w.lockOld = !k.faults.unlocked
	w.knows = w.keeper && k.faults.stale
}

// leaves is the end of the old process, however it comes.
func (w *world) leaves() {
	w.at, w.lockOld, w.toOld, w.dWire, w.toD, w.oldK = gone, false, 0, false, 0, false
	if w.unit == 1 { // the unit's main process: systemd ends the rest
		w.unit = 3
		w.lost()
	}
}

// each gives all the moments that can follow.
func (k walker) each(w world, yield func(world)) {
	add := func(f func(*world)) {
		n := w
		f(&n)
		k.turns(&n)
		yield(n)
	}
	if w.oldLives() {
		// Somebody asks for the end of the daemon, once: of a process that finishes what it
		// has begun it is not.
		if !w.asked && w.old != Finishing && w.kind != kept { // where it is a signal to the keeper
			if w.start >= settingUp || !w.launched() {
				add(func(n *world) { n.asked = true; k.signalled(n) })
			}
		}
		if !w.crashed {
			add(func(n *world) {
				n.crashed = true
				n.heir = n.there && n.take != Dropped && n.life != CutOff && !n.toNew.has(cancelled)
				n.leaves()
				n.heir = n.heir && n.there
			})
		}
		if !w.ended && w.start < executing && w.old.Begun() && (w.old.Ending() || !w.own) {
			add(func(n *world) {
				n.own = n.own || !w.old.Ending()
				n.ended = true
				k.step(n, WorkerEnded)
			})
		}
		if !w.reloaded && w.at == idle && w.old == Working && !w.ended && w.kind != restarted && w.kind != foreign {
			add(func(n *world) { n.reloaded, n.at = true, rising; n.spawn() })
		}
		fails := func(n *world, g LaunchEvent) { // the reload; a successor that lives is ended
			if n.at == swapping {
				k.gives(n, killing, Tires)
			} else {
				k.gives(n, ending, g)
			}
		}
		first, rest := word(w.toOld&15), w.toOld>>4
		switch {
		case w.at == idle && w.ended && w.old.Left() && !w.first:
			add(func(n *world) { // depart
				if n.old == Recalled {
					k.step(n, Depart)
					k.gives(n, endingLast, CallOff)
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
		case (w.at == rising || w.at == again) && first == claimsIt:
			add(func(n *world) { n.toOld = rest; k.successorStep(n, Claims) })
		case (w.at == rising || w.at == again) && first == failsIt:
			add(func(n *world) {
				n.toOld = rest
				k.successorStep(n, Fails)
				if n.at == again {
					k.gives(n, endingLast, CallOff)
					return
				}
				fails(n, CallOff)
			})
		case w.at == rising && first == runsIt && w.first:
			add(func(n *world) { n.toOld = rest; k.successorStep(n, Runs) })
		case w.at == rising && first == runsIt || w.at == rising && first == readyIt:
			add(func(n *world) {
				n.toOld = rest
				e := Leave
				if n.first {
					k.successorStep(n, IsReady)
				} else {
					k.successorStep(n, Runs)
				}
				if n.first {
					e = Hand
				}
				if n.brings != Usable {
					k.bad(*n, "a successor is given the place that cannot have it")
				}
				switch do := k.step(n, e); {
				case do&Refuse != 0:
					fails(n, CallOff)
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
				n.oldK = false
				if n.unit == 1 && !k.faults.noMain {
					n.unit = 2
				}
				if do := k.step(n, Handed); do&PassKept != 0 && n.kept {
					n.told = true
				}
				n.kept, n.at = false, idle
			})
		case w.at == killing:
			add(func(n *world) {
				k.buries(n)
				n.at, n.lockOld = idle, true
				if do := k.step(n, Failed); do&Repeat != 0 && n.kept {
					n.kept = false
					k.step(n, End)
				}
			})
		case w.at == ending:
			add(func(n *world) { k.buries(n); n.at = idle })
		case w.at == endingLast:
			add(func(n *world) { k.buries(n); n.leaves() })
		case w.at == asking && first == took:
			add(func(n *world) { n.toOld = rest; n.at = departing })
		case w.at == departing:
			add(func(n *world) {
				k.step(n, Depart)
				if n.at = departed; n.old == Recalled {
					k.gives(n, endingLast, CallOff)
				} else if n.unit == 1 && !k.faults.noMain {
					n.unit = 2
				}
			})
		case w.at == departed:
			add(func(n *world) { n.leaves() })
		case w.at == again && first == runsIt:
			add(func(n *world) { n.toOld = rest; k.successorStep(n, Runs); n.at = asking; n.toNew = n.toNew.with(asks) })
		case first != 0: // not what it waits for
			add(func(n *world) { n.toOld = rest })
		}
		if !w.there && first == 0 {
			switch w.at {
			case rising:
				add(func(n *world) { k.successorStep(n, HangsUp); k.successorStep(n, Exits); fails(n, CallOff) })
			case swapping:
				add(func(n *world) { fails(n, Tires) })
			case asking, again:
				add(func(n *world) {
					switch {
					case n.at == again:
						k.successorStep(n, HangsUp)
						k.successorStep(n, Exits)
					case n.brings == Usable:
						k.successorStep(n, CallOff)
						k.successorStep(n, Exits)
					}
					if n.second || n.old == Recalled && !k.faults.again { // twice in a row is given up
						n.leaves()
						return
					}
					if n.old == Recalled {
						k.bad(*n, "a daemon that is to end brings up another successor")
					}
					n.second = true
					n.spawn()
					n.at = again
				})
			}
		}
		if w.at == again && w.old == Recalled {
			add(func(n *world) { k.gives(n, endingLast, CallOff) })
		}
		if !w.tried && (w.at == rising || w.at == swapping) {
			for _, g := range []LaunchEvent{TimesOut, CallOff} {
				add(func(n *world) { n.tried = true; fails(n, g) })
			}
		}
		if !w.tried && w.at == swapping {
			add(func(n *world) { n.tried = true; n.toNew = n.toNew.with(goOn) })
		}
	}
	if w.at == asking && w.there && !w.tried { // it does not answer
		add(func(n *world) {
			n.tried = true
			if k.faults.trusting {
				n.at = departing
				return
			}
			k.gives(n, asking, CallOff)
			k.buries(n)
		})
	}
	k.nextOutside(w, add)
	if w.there {
		if !w.crashed {
			add(func(n *world) { n.crashed = true; n.lost() })
		}
		first, rest := word(w.toNew&15), w.toNew>>4
		if h := takeOverEvent[first]; first != 0 {
			add(func(n *world) {
				n.toNew = rest
				k.takeOverStep(n, h)
				n.wire = n.wire && h != Releases // nobody listens any more
			})
		}
		if w.wire && !w.oldLives() && first == 0 {
			add(func(n *world) { n.wire = false; k.takeOverStep(n, WireEnds) })
		}
		if !w.setUp {
			add(func(n *world) {
				n.setUp = true
				n.tells(claimsIt)
				n.tells(runsIt)
				if n.first {
					k.takeOverStep(n, Works)
				} else {
					k.takeOverStep(n, Waits)
				}
			})
			if !w.own && w.oldLives() {
				add(func(n *world) { n.own = true; n.tells(claimsIt); n.tells(failsIt); n.lost() })
			}
		}
		if w.setUp && !w.life.Begun() && (w.first || w.take == Daemon) {
			add(func(n *world) { k.lives(n, Begin) })
		}
		if w.first && w.life == Working && w.oldLives() && w.at == rising && !w.toOld.has(readyIt) && w.brings.ComingUp() {
			add(func(n *world) { n.tells(readyIt) })
		}
		if w.waits && !w.lockOld {
			add(func(n *world) { n.lockNew, n.waits = true, false; k.takeOverStep(n, Granted) })
		}
		if !w.first && w.setUp && !w.oldLives() && w.take != TakingOver && w.take != Daemon {
			add(func(n *world) { k.takeOverStep(n, Gone) })
		}
		if w.timer && (w.oldLives() || k.faults.lateDead) { // else it is Gone instead
			add(func(n *world) { n.timer = false; k.takeOverStep(n, Late) })
		}
		if w.take == TakingOver {
			add(func(n *world) {
				k.takeOverStep(n, Done)
				n.was = true
				if n.kind == managed && n.unit == 1 {
					n.unit = 2
				}
			})
		}
		if w.life.Begun() && w.end == 0 && (w.life.Ending() || !w.own) {
			add(func(n *world) {
				n.own = n.own || !w.life.Ending()
				n.end = ended
				k.lives(n, WorkerEnded)
			})
		}
		if w.told {
			add(func(n *world) { n.told = false; k.lives(n, End) })
		}
		if w.life == CutOff && !w.setUp { // the set-up sees that
			add(func(n *world) { n.lost() })
		}
		if w.end == ended {
			add(func(n *world) { n.end = saidSo; k.takeOverStep(n, Ends) })
		}
		if w.end == saidSo && w.take != Took && w.take != TakingOver { // else it waits until it is clear
			add(func(n *world) { n.lost() })
		}
		if (w.take == Dropped || w.take == DroppedAlone) && !w.first {
			add(func(n *world) { n.lost() })
		}
	}
}

func (m mail) has(w word) bool {
	for ; m != 0; m >>= 4 {
		if word(m&15) == w {
			return true
		}
	}
	return false
}

// begins is the first moment of a kind.
func begins(kind kind, first bool) world {
	w := world{first: first, kind: kind, old: Working, lockOld: true, start: begun, verdict: Settled, keeper: kind == kept}
	switch kind {
	case detached, restarted, foreign:
		w = world{first: first, kind: kind, old: ComingUp, at: gone, verdict: Early, launcher: true, stage: forking, launch: Launched}
		if kind == restarted {
			w.other = runs
		}
	case kept:
		w.keep, w.oldK = Tending, true
	case managed:
		w.unit = 1
	}
	return w
}

// visit goes through all moments in which so much has come from outside, and gives how many there
// are and what is wrong. With first
// it ends when something is.
func visit(r rules, f faults, kinds []kind, most int, first bool) (states int, found []string, reached steps) {
	seenFault := map[string]bool{}
	fault := func(w world, what string) {
		if !seenFault[what] {
			seenFault[what] = true
			found = append(found, fmt.Sprintf("%s: old %s at %d, new %s (%s), launcher %s, keeper %s, stop %s, %+v", what, lifeNames[w.old], w.at, takeOverNames[w.take], lifeNames[w.life], launchNames[w.launch], keeperNames[w.keep], followNames[w.follow], w))
		}
	}
	var steps []taken
	k := walker{r, f, fault, func(a taken) { steps = append(steps, a) }}
	ids := map[world]int32{}
	var worlds []world
	var follow [][]int32
	id := func(w world) int32 {
		n, ok := ids[w]
		if !ok {
			n = int32(len(worlds))
			ids[w] = n
			worlds = append(worlds, w)
		}
		return n
	}
	well, restart := map[[2]bool]bool{}, false
	for _, kind := range kinds {
		for _, first := range []bool{true, false} {
			id(begins(kind, first))
		}
	}
	var list []world
	for i := 0; i < len(worlds); i++ {
		if first && len(found) > 0 {
			return len(worlds), found, reached
		}
		w := worlds[i]
		list = list[:0]
		k.each(w, func(n world) {
			if n.comes() <= most {
				list = append(list, n)
				for _, a := range steps {
					reached[a.who][a.state][a.event] = true
				}
			}
			steps = steps[:0]
		})
		check(w, list, fault)
		var to []int32
		for _, n := range list {
			to = append(to, id(n))
		}
		follow = append(follow, to)
		if w.comes() == 0 {
			well[[2]bool{w.first, w.turned}] = well[[2]bool{w.first, w.turned}] || w.was
			restart = restart || w.kind == restarted && w.launch == Up && !w.late
		}
	}
	for _, first := range []bool{true, false} {
		if !well[[2]bool{first, false}] && slices.ContainsFunc(kinds, func(kind kind) bool { return kind != restarted && kind != foreign }) { // which are not reloaded
			fault(world{}, "no reload ever goes well")
		} else if !well[[2]bool{first, true}] && slices.Contains(kinds, bare) {
			fault(world{}, "no reload after another one ever goes well")
		}
	}
	if slices.Contains(kinds, restarted) && !restart {
		fault(world{}, "no restart ever goes well")
	}
	// Nothing is blocked for ever: an end is reached from everywhere, without another crash, and
	// without anybody who asks for one.
	back := make([][]int32, len(worlds))
	ended := make([]bool, len(worlds))
	var ends []int32
	for i, list := range follow {
		over := true
		for _, n := range list {
			if worlds[n].outside() == worlds[i].outside() {
				back[n] = append(back[n], int32(i))
				over = false
			}
		}
		if over {
			ends = append(ends, int32(i))
			ended[i] = true
		}
	}
	for len(ends) > 0 {
		n := ends[0]
		ends = ends[1:]
		for _, p := range back[n] {
			if !ended[p] {
				ended[p] = true
				ends = append(ends, p)
			}
		}
	}
	for i := range worlds {
		if !ended[i] {
			fault(worlds[i], "no way leads to an end")
		}
	}
	return len(worlds), found, reached
}

// outside is what has come from outside.
func (w world) outside() [10]bool {
	return [10]bool{w.hup, w.tried, w.crashed, w.asked, w.own, w.ctrlC, w.reloaded || w.turned, w.reloaded && w.turned, w.said, w.follow != 0}
}

var mostEvents = flag.Int("events", 2, "how many crashes, signals, cancels and ends come in one walk; a reload and a stop are more")

func (w world) comes() (n int) {
	for _, is := range []bool{w.hup, w.tried, w.crashed, w.asked, w.own, w.ctrlC} {
		if is {
			n++
		}
	}
	return n
}

func (k walker) verdictStep(w *world, n VerdictEvent) {
	k.took(taken{aVerdict, uint8(w.verdict), uint8(n)})
	t, ok := k.verdict(w.verdict, n)
	if !ok {
		k.bad(*w, "verdict: "+verdictEventNames[n])
	}
	w.verdict = t.To
	if t.Do&TellReady != 0 {
		w.say(readyIt)
	}
	if t.Do&CancelStart != 0 {
		if w.toL.has(readyIt) || w.launch == Up {
			k.bad(*w, "a start is cancelled that is ready")
		}
		w.undone = !w.old.Ending()
		k.step(w, End)
	}
}

// say is a word of the daemon's to its launcher.
func (w *world) say(word word) {
	if w.launcher && w.dWire {
		w.toL = w.toL.with(word)
	}
}

// nextOutside is what those do who are there beside the daemon.
func (k walker) nextOutside(w world, add func(func(*world))) {
	if w.launched() {
		k.nextBirth(w, add)
		k.nextLauncher(w, add)
	}
	if w.kind == kept {
		k.nextKeeper(w, add)
	}
	if w.kind != bare {
		k.nextStop(w, add)
	}
}

// nextBirth is the launched daemon until its worker works, and what it hears.
func (k walker) nextBirth(w world, add func(func(*world))) {
	switch w.stage {
	case forking:
		add(func(n *world) { n.stage, n.at, n.start, n.dWire = forked, idle, inMain, true })
	case forked:
		add(func(n *world) {
			n.stage = over
			if n.launcher {
				n.toL = n.toL.with(names)
			}
		})
	}
	if w.stage != over && !w.crashed {
		add(func(n *world) { n.crashed, n.stage = true, over })
	}
	if w.other == toEnd {
		add(func(n *world) { n.other = none })
	}
	if w.other == runs && !w.crashed {
		add(func(n *world) { n.other, n.crashed = none, true })
	}
	if !w.oldLives() || w.stage != over && w.start != inMain { // it comes before the first word, or after, when it is no matter
		return
	}
	dies := func(n *world) { n.say(failsIt); n.leaves() }
	if w.undone && (w.start == settingUp || w.start == gated || w.start == hasLock) {
		add(dies)
	} else {
		switch w.start {
		case inMain:
			if w.hangs {
				break
			}
			if !w.own {
				add(func(n *world) { n.own, n.hangs = true, true })
			}
			add(func(n *world) {
				n.start = settingUp
				n.say(claimsIt)
				if !n.dWire {
					n.opened = true
					k.verdictStep(n, Decides)
				}
			})
			if w.dWire && !w.own { // it closes what it has not opened
				add(func(n *world) { n.own, n.dWire, n.toD = true, false, 0 })
			}
		case settingUp:
			if w.kind == restarted {
				add(func(n *world) { n.start = gated; n.say(arrives) })
				break
			}
			fallthrough
		case gated:
			if w.start == gated && !w.opened {
				break
			}
			if w.other != none {
				add(dies)
				break
			}
			add(func(n *world) { n.start, n.lockOld = hasLock, true; n.say(locksIt) })
		case hasLock:
			add(func(n *world) {
				n.start = begun
				k.verdictStep(n, SetUp)
				n.say(runsIt)
				k.step(n, Begin)
			})
		case executing:
			add(func(n *world) { n.start, n.dWire, n.toD = program, false, 0 })
			if !w.own {
				add(func(n *world) { n.own = true; dies(n) })
			}
		case program:
			if !w.own {
				add(func(n *world) { n.own = true; n.leaves() })
			}
		case begun:
			if w.kind == foreign {
				if w.old == Working && !w.ended || k.faults.heedless {
					add(func(n *world) { n.start = executing; n.say(executes) })
				}
				break
			}
			if !w.verdict.SaidReady() && !w.old.Ending() {
				add(func(n *world) { n.said = true; k.verdictStep(n, SaysReady) })
			}
		}
		if w.start < begun && (w.start != gated || w.opened) && !w.own {
			add(func(n *world) {
				n.own = true
				if n.start == inMain {
					n.leaves()
				} else {
					dies(n)
				}
			})
		}
	}
	if w.dWire && w.start != inMain {
		first, rest := word(w.toD&15), w.toD>>4
		switch {
		case first == goesIt:
			add(func(n *world) { n.toD, n.opened = rest, true })
		case first == releasesIt:
			add(func(n *world) { n.toD, n.dWire, n.opened = 0, false, true; k.verdictStep(n, Decides) })
		case first == cancelsIt:
			add(func(n *world) { n.toD = rest; k.verdictStep(n, Cancels) })
		case !w.launcher && !k.faults.deaf:
			add(func(n *world) { n.dWire, n.opened = false, true; k.verdictStep(n, Decides) })
		}
	}
}

func (k walker) nextLauncher(w world, add func(func(*world))) {
	if !w.launcher {
		return
	}
	event := func(g LaunchEvent) {
		add(func(n *world) { k.launchStep(n, g) })
	}
	if !w.crashed {
		add(func(n *world) { n.crashed, n.launcher, n.toL = true, false, 0 })
	}
	l := w.launch
	if l == AtGate {
		k.nextGate(w, add)
		return
	}
	first := word(w.toL & 15)
	ended := l == Vanished || l == Hushed || l == Mute || l == Replaced || l == RecallEnds || l == RecallReplaced
	hangsUp := !ended && first == 0 && w.stage == over && !(w.oldLives() && w.dWire)
	switch {
	case ended && !w.oldLives():
		event(Exits)
	case first != 0:
		g := heardAs[first]
		add(func(n *world) {
			n.toL >>= 4
			if g != Names || l.Unnamed() {
				k.launchStep(n, g)
			}
		})
	case hangsUp:
		event(HangsUp)
	}
	waits := !l.Late() && !l.Recalled()
	if waits && !w.late {
		add(func(n *world) { n.late = true; k.launchStep(n, TimesOut) })
	}
	if !w.ctrlC && !l.Recalled() {
		add(func(n *world) { n.ctrlC = true; k.launchStep(n, CallOff) })
	}
	if w.toL == 0 && w.stage == over && !hangsUp && (!waits || w.late && (l == Vanished || l == Hushed)) {
		event(Tires)
	}
	if !w.first && (l == Running || l == Mute || l == Becoming || l == Replaced) {
		event(LivesOn)
	}
	if l == Replaced && w.oldLives() {
		add(func(n *world) { n.said = true; k.launchStep(n, IsReady) })
	}
}

// nextGate is a launcher that stops the daemon in whose place the new one is to come.
func (k walker) nextGate(w world, add func(func(*world))) {
	event := func(s FollowEvent) {
		add(func(n *world) {
			k.took(taken{aGate, uint8(n.gate), uint8(s)})
			to, ok := k.rules.follow(n.gate, s)
			if !ok {
				k.bad(*n, "gate: "+followNames[n.gate]+", "+followEventNames[s])
			}
			n.gate = to
		})
	}
	if !w.ctrlC {
		add(func(n *world) { n.ctrlC = true; k.launchStep(n, Stays) })
	}
	if !w.tried { // or it is not to be stopped
		add(func(n *world) { n.tried = true; k.launchStep(n, Stays) })
	}
	switch w.gate {
	case 0:
		if w.other == none {
			add(func(n *world) { k.launchStep(n, Opens) })
		} else {
			add(func(n *world) { n.gate = Met })
		}
	case Met:
		if w.other != none {
			event(Proves)
		} else {
			event(Misses)
		}
	case Held:
		if k.faults.rash && w.other == toEnd {
			add(func(n *world) { k.launchStep(n, Opens) })
		} else if w.other == runs {
			add(func(n *world) {
				n.other = toEnd
				if n.start < gated && n.oldLives() {
					k.bad(*n, "a daemon is stopped for one that has not come as far")
				}
			})
		} else if w.other == none {
			event(Outlived)
		}
	case Lost, Left:
		event(SeesNil)
	default:
		add(func(n *world) { k.launchStep(n, Opens) })
	}
}

// launchStep is what follows from an event for the launcher.
func (k walker) launchStep(w *world, g LaunchEvent) {
	was := w.launch
	k.took(taken{aLauncher, uint8(was), uint8(g)})
	c, ok := k.launch(was, g)
	if !ok {
		k.bad(*w, "launcher: "+launchNames[w.launch]+", "+launchEventNames[g])
	}
	w.launch = c.To
	if c.Do&NewTime != 0 {
		w.late = false
	}
	if c.Do&SayGo != 0 && w.dWire {
		w.toD = w.toD.with(goesIt)
	}
	if c.Do&SayRelease != 0 && w.dWire {
		w.toD = w.toD.with(releasesIt)
	}
	if c.Do&SayCancel != 0 && w.dWire {
		w.toD = w.toD.with(cancelsIt)
	}
	if c.Do&SignalIt != 0 && w.oldLives() && w.start == program {
		w.leaves()
	}
	if c.Do&KillIt != 0 && w.oldLives() && !was.Unnamed() {
		if w.start == program && !w.own {
			k.bad(*w, "a program is killed that was not asked to end")
		}
		// Its successor hears only that the wire ends, as of a daemon that was killed, and takes its
		// place, as it must then.
		w.crashed = w.crashed || w.there
		w.leaves()
	}
	if (w.launch == Up || w.launch == Lived) && w.oldLives() && w.at != swapping && w.at != killing && !w.lockOld && !w.lockNew && !w.crashed && !w.own && !w.asked && !w.undone {
		k.bad(*w, "a start says OK, and nobody finds the daemon")
	}
	if w.launch.Over() {
		w.launcher, w.toL = false, 0
	}
}

func (k walker) nextKeeper(w world, add func(func(*world))) {
	if !w.keeper {
		if w.oldK && w.oldLives() && !k.faults.deaf {
			add(func(n *world) {
				n.oldK = false
				if !n.old.Left() {
					k.step(n, End)
				}
			})
		}
		if w.newK && w.there && w.take == Daemon {
			add(func(n *world) { n.newK, n.told = false, true })
		}
		return
	}
	if !w.crashed {
		add(func(n *world) { n.crashed, n.asked, n.keeper, n.toK = true, true, false, false }) // its death asks for the end
	}
	if !w.asked {
		add(func(n *world) { n.asked = true; k.keeperStep(n, Asked) })
	}
	if !w.hup {
		add(func(n *world) { n.hup = true; k.keeperStep(n, Signalled) })
	}
	switch {
	case w.toK:
		add(func(n *world) { n.toK, n.knows = false, true; k.keeperStep(n, Follows) })
	case !w.oldK && !w.newK && !w.keep.Done():
		add(func(n *world) { k.keeperStep(n, NoMore) })
	}
	if w.keep.Done() && !w.oldLives() && !w.there {
		add(func(n *world) { k.keeperStep(n, Cleared); n.keeper = false })
	}
}

// keeperStep is what follows from an event for the keeper.
func (k walker) keeperStep(w *world, c KeeperEvent) {
	k.took(taken{aKeeper, uint8(w.keep), uint8(c)})
	t, ok := k.keeper(w.keep, c)
	if !ok {
		k.bad(*w, "keeper: "+keeperNames[w.keep]+", "+keeperEventNames[c])
	}
	w.keep = t.To
	if t.Do&Pass != 0 {
		reaches := w.knows && w.there || !w.knows && w.oldLives()
		switch {
		case c == Signalled && !reaches:
			k.keeperStep(w, Missed)
		case c == Signalled:
		case w.knows && w.there:
			w.told = true
		case !w.knows && w.oldLives():
			k.step(w, End)
		default:
			if w.knows && w.oldLives() {
				k.step(w, End)
			}
			k.keeperStep(w, EndMissed)
		}
	}
	if t.Do&KeepIt != 0 {
		w.keptEnd, w.keptHup = w.keptEnd || c == EndMissed, w.keptHup || c == Missed
	}
	if t.Do&(PassMiss|PassAsks) != 0 {
		end, hup := w.keptEnd, w.keptHup && t.Do&PassMiss != 0
		w.keptEnd, w.keptHup = false, false
		if hup {
			k.keeperStep(w, Signalled)
		}
		if end {
			k.keeperStep(w, Asked)
		}
	}
	if t.Do&Ask != 0 {
		k.keeperStep(w, Asked)
	}
}

// nextStop is somebody who stops the daemon from outside.
func (k walker) nextStop(w world, add func(func(*world))) {
	holder := uint8(0)
	switch {
	case w.lockOld && w.oldLives():
		holder = 1
	case w.lockNew && w.there:
		holder = 2
	}
	lives := w.target == 1 && w.oldLives() || w.target == 2 && w.there
	event := func(s FollowEvent, what func(*world)) {
		add(func(n *world) {
			k.took(taken{aStop, uint8(n.follow), uint8(s)})
			to, ok := k.rules.follow(n.follow, s)
			if !ok {
				k.bad(*n, "stop: "+followNames[n.follow]+", "+followEventNames[s])
			}
			n.follow = to
			if what != nil {
				what(n)
			}
			if (to == Served || to == NotThere) && (n.lockOld && n.oldLives() || n.lockNew && n.there) {
				k.bad(*n, "a stop says that no daemon runs, and it does")
			}
		})
	}
	switch w.follow {
	case 0:
		if holder != 0 && !w.asked && w.other == none {
			add(func(n *world) { n.follow, n.target, n.asked = Met, holder, true })
		}
	case Met, MetNext:
		switch {
		case holder == w.target || k.faults.unproved && lives:
			event(Proves, func(n *world) {
				if holder != w.target {
					k.bad(*n, "a process is signalled that is not the daemon")
				}
			})
		case holder != 0 || !lives:
			event(Misses, nil)
		}
	case Held, HeldNext:
		switch {
		case !w.sent:
			add(func(n *world) {
				n.sent = true
				switch {
				case n.target == 1 && n.oldLives():
					k.signalled(n)
				case n.target == 2 && n.there:
					n.told = true
				}
			})
		case !lives:
			event(Outlived, nil)
		}
	case Lost, Left:
		shared := w.oldLives() && w.old != Finishing || w.there // who has the lock that they share
		switch {
		case holder != 0:
			event(Sees, func(n *world) { n.target, n.sent = holder, false })
		case !shared:
			event(SeesNil, nil)
		}
	}
}

// check holds what must be true of a moment.
func check(w world, list []world, fault func(world, string)) {
	newIs := w.there && w.take == Daemon
	if newIs && w.oldLives() && !w.old.Left() {
		fault(w, "there are two daemons")
	}
	if !w.first && w.there && w.life == Working && w.oldLives() {
		fault(w, "two workers work")
	}
	quiet := true // nothing happens but what comes from outside
	for _, n := range list {
		if n.outside() == w.outside() {
			quiet = false
		}
	}
	if !quiet {
		return
	}
	oldIs := w.oldLives() && (!w.old.Ending() || w.start == program)
	// A second successor in a row that does not come up is given up, and so is the new daemon of a
	// restart, when the old one is stopped already.
	given := w.tried && (w.kind == restarted || w.second)
	if !oldIs && !newIs && !w.asked && !w.own && !w.crashed && !w.ctrlC && w.other == none && !given {
		fault(w, "there is no daemon, and nobody has asked for that")
	}
	// An end that was asked for is lost with a process that is killed before it has passed it on.
	if w.asked && (oldIs || newIs && w.life == Working) && !w.crashed {
		fault(w, "the end that somebody has asked for is lost")
	}
	if w.old == Finishing && !w.was && !w.crashed {
		fault(w, "the PID file is nobody's")
	}
	if w.heir && !w.was && !w.asked && !w.own {
		fault(w, "the successor of a daemon that was killed is not the daemon")
	}
	// Where the worker's program has closed the wire, the launcher waits for its process. If that is
	// reloaded meanwhile, its end counts as that of the daemon: who has closed the wire cannot say better.
	if (w.launch == CalledOff || w.launch == Fallen) && !w.crashed && !(w.was && w.own) && (oldIs || newIs || w.lockOld) {
		fault(w, "a start has failed, and a daemon is left")
	}
	if w.launched() && w.oldLives() && w.start == begun && w.verdict.Undecided() && !w.old.Ending() {
		fault(w, "the daemon waits for a launcher that is gone")
	}
	if w.kind == kept && !w.keeper && (oldIs || newIs && w.life == Working) {
		fault(w, "the keeper is dead, and the daemon goes on")
	}
	if w.keeper && !w.oldLives() && !w.there {
		fault(w, "the keeper does not end")
	}
	if w.keeper && w.keptHup && (oldIs || newIs) {
		fault(w, "a signal is kept for nobody")
	}
	if w.launcher {
		fault(w, "the launcher waits")
	}
	if w.follow != 0 && !w.follow.Over() {
		fault(w, "a stop waits")
	}
	if w.oldLives() && (w.at == rising || w.at == swapping) {
		fault(w, "a reload waits for its time to be over")
	}
	if w.there && !newIs {
		fault(w, "a successor is left over")
	}
	if w.oldLives() && w.old.Ending() && w.start != program {
		fault(w, "the old process does not end")
	}
}

// walked is what the walk has come through, with the rules as they are.
var walked = sync.OnceValue(func() (w struct {
	states  int
	found   []string
	reached steps
	took    time.Duration
}) {
	begin := time.Now()
	w.states, w.found, w.reached = visit(theRules, faults{}, []kind{bare, detached, restarted, foreign, kept, managed}, *mostEvents, false)
	w.took = time.Since(begin)
	return w
})

func TestWalkThroughAReload(t *testing.T) {
	w := walked()
	t.Logf("%d states in %v, with %d steps of somebody in a state at an event", w.states, w.took.Round(time.Millisecond), w.reached.count())
	for i, f := range w.found {
		if i < 20 {
			t.Error(f)
		}
	}
}

// TestWalkFindsMistakes: in each walk the rules, or the code around them, have one mistake. Those
// that are marked as mended are faults that this program has had.
func TestWalkFindsMistakes(t *testing.T) {
	type change = func(*rules, *faults)
	launched := func(s Launch, g LaunchEvent, to LaunchStep) change {
		return func(r *rules, _ *faults) {
			before := r.launch
			r.launch = func(l Launch, h LaunchEvent) (LaunchStep, bool) {
				if l == s && h == g {
					return to, true
				}
				return before(l, h)
			}
		}
	}
	brings := func(s Successor, g LaunchEvent, to SuccessorStep) change {
		return func(r *rules, _ *faults) {
			before := r.successor
			r.successor = func(l Successor, h LaunchEvent) (SuccessorStep, bool) {
				if l == s && h == g {
					return to, true
				}
				return before(l, h)
			}
		}
	}
	keeps := func(s Keeper, c KeeperEvent, to KeeperStep) change {
		return func(r *rules, _ *faults) {
			before := r.keeper
			r.keeper = func(k Keeper, d KeeperEvent) (KeeperStep, bool) {
				if k == s && d == c {
					return to, true
				}
				return before(k, d)
			}
		}
	}
	follows := func(s Follow, g FollowEvent, to Follow) change {
		return func(r *rules, _ *faults) {
			before := r.follow
			r.follow = func(f Follow, h FollowEvent) (Follow, bool) {
				if f == s && h == g {
					return to, true
				}
				return before(f, h)
			}
		}
	}
	hears := func(v Verdict, n VerdictEvent, to VerdictStep) change {
		return func(r *rules, _ *faults) {
			before := r.verdict
			r.verdict = func(w Verdict, m VerdictEvent) (VerdictStep, bool) {
				if w == v && m == n {
					return to, true
				}
				return before(w, m)
			}
		}
	}
	lives := func(s Life, e LifeEvent, to LifeStep) change {
		return func(r *rules, _ *faults) {
			before := r.life
			r.life = func(l Life, f LifeEvent) (LifeStep, bool) {
				if l == s && f == e {
					return to, true
				}
				return before(l, f)
			}
		}
	}
	both := func(one, two change) change {
		return func(r *rules, f *faults) { one(r, f); two(r, f) }
	}
	const mended = true
	all, had := 0, 0
	for _, tt := range []struct {
		what   string
		kind   kind
		mended bool
		change change
	}{
		{"a start says OK before others find the daemon", detached, false, launched(Named, Claims, LaunchStep{Up, 0})},
		{"a start that is given up leaves a process in the program's main", detached, mended, launched(Doubted, Tires, LaunchStep{CalledOff, TakeAway})},
		{"a daemon that is given up is not told", detached, false, both(launched(Claimed, CallOff, LaunchStep{Recall, 0}), launched(Recall, Tires, LaunchStep{CalledOff, 0}))},
		{"a start that is given up waits for who does not claim", detached, false, launched(Doubted, Tires, LaunchStep{Doubted, 0})},
		{"a start whose program closes the wire waits for ever", detached, mended, both(launched(Vanished, TimesOut, LaunchStep{LateNamed, LookCloser}), launched(Vanished, Tires, LaunchStep{LateNamed, LookCloser}))},
		{"a start fails of a daemon that goes on", detached, mended, launched(Named, HangsUp, LaunchStep{Fallen, 0})},
		{"a start whose time is over waits for who does not claim", detached, false, launched(LateNamed, Tires, LaunchStep{LateNamed, 0})},
		{"a daemon that is ready is cancelled", detached, mended, hears(Ready, Cancels, VerdictStep{Ready, CancelStart})},
		{"a daemon does not let go of a launcher that has vanished", detached, mended, hears(Open, Decides, VerdictStep{Open, 0})},
		{"nor does it hear that", detached, false, func(_ *rules, f *faults) { f.deaf = true }},
		{"a signal during the hand-over ends the old process", kept, mended, lives(Handing, End, LifeStep{Stopping, EndContext})},
		{"a worker that returns during the hand-over ends the daemon", managed, mended, lives(Handing, WorkerEnded, LifeStep{Stopping, TellStopping})},
		{"a keeper's end comes too late for the old process, and is forgotten", kept, mended, keeps(Dismissing, Follows, KeeperStep{Dismissing, 0})},
		{"what a generation has missed is forgotten", kept, false, keeps(BetweenEnd, Follows, KeeperStep{Dismissing, 0})},
		{"another signal that a generation has missed is forgotten", kept, false, keeps(Between, Follows, KeeperStep{Tending, 0})},
		{"a keeper waits for another generation for ever", kept, false, keeps(Tending, NoMore, KeeperStep{Tending, 0})},
		{"a keeper that has died ends nobody", kept, false, func(_ *rules, f *faults) { f.deaf = true }},
		{"a stop does not follow a reload", managed, mended, follows(Left, Sees, Served)},
		{"a stop during a hand-over says that nothing runs", managed, mended, follows(Lost, Sees, NotThere)},
		{"a stop signals a process that is not the daemon any more", managed, mended, func(_ *rules, f *faults) { f.unproved = true }},
		{"a stop waits for a process that is gone", managed, false, follows(Held, Outlived, Held)},
		{"the old process ends before the service manager knows the new one", managed, mended, func(_ *rules, f *faults) { f.noMain = true }},
		{"a daemon that is to end brings up another successor", kept, mended, func(_ *rules, f *faults) { f.again = true }},
		{"a successor gives up in the moment in which the old process dies", bare, mended, func(r *rules, f *faults) {
			f.lateDead = true
			r.take = func(s TakeOver, h TakeOverEvent) (TakeOverStep, bool) {
				if s == Orphan && h == Late {
					return TakeOverStep{Dropped, GiveUp | Settle}, true
				}
				return s.Next(h)
			}
		}},
		{"a successor that does not come up is waited for", bare, false, brings(SettingUpFirst, TimesOut, SuccessorStep{SettingUpFirst, 0})},
		{"a successor that is dead is waited for", bare, false, brings(SettingUpFirst, HangsUp, SuccessorStep{SettingUpFirst, 0})},
		{"a successor that is not ready is given the place", bare, false, brings(SettingUpFirst, IsReady, SuccessorStep{SettingUpFirst, 0})},
		{"a successor that does not end is left", bare, false, brings(Rejected, Tires, SuccessorStep{Dead, 0})},
		{"a successor that comes up is given up, and left", bare, false, brings(SpawnedFirst, CallOff, SuccessorStep{Dead, 0})},
		{"a restart does not stop the daemon that is in the way", restarted, false, launched(Claimed, Arrives, LaunchStep{Admitted, SayGo | NewTime})},
		{"a restart stops a daemon for one that has not come as far", restarted, false, launched(Named, Claims, LaunchStep{AtGate, StopOther})},
		{"who waits at the gate does not hear that it is open", restarted, false, launched(AtGate, Opens, LaunchStep{Admitted, NewTime})},
		{"who waits at the gate is forgotten when that stays closed", restarted, false, launched(AtGate, Stays, LaunchStep{Fallen, 0})},
		{"Ctrl-C after the gate leaves the new daemon", restarted, false, launched(Admitted, CallOff, LaunchStep{CalledOff, TakeAway})},
		{"the old process counts on a successor that does not answer", bare, mended, func(_ *rules, f *faults) { f.trusting = true }},
		{"a start fails of a program that goes on", foreign, false, launched(Becoming, HangsUp, LaunchStep{Fallen, 0})},
		{"a program that is given up is not told", foreign, false, launched(RecallGone, HangsUp, LaunchStep{RecallReplaced, 0})},
		{"the same, once it is there", foreign, false, launched(Replaced, CallOff, LaunchStep{RecallReplaced, GrantStop})},
		{"a program is not waited for that is given up", foreign, false, launched(Becoming, CallOff, LaunchStep{CalledOff, SayCancel})},
		{"that it becomes another program is not heard in time", foreign, false, launched(Recall, Executes, LaunchStep{Recall, 0})},
		{"a worker that is to end becomes another program", foreign, false, func(_ *rules, f *faults) { f.heedless = true }},
		{"a keeper signals the generation before the last one", kept, false, func(_ *rules, f *faults) { f.stale = true }},
		{"the daemon after a reload has not the lock", managed, false, func(_ *rules, f *faults) { f.unlocked = true }},
		{"the old daemon is taken for gone, and is not", restarted, false, func(_ *rules, f *faults) { f.rash = true }},
	} {
		r, f := theRules, faults{}
		tt.change(&r, &f)
		if all++; tt.mended {
			had++
		}
		begin := time.Now()
		states, found, _ := visit(r, f, []kind{tt.kind}, 1, true)
		if len(found) == 0 {
			states, found, _ = visit(r, f, []kind{tt.kind}, 2, true)
		}
		if len(found) == 0 {
			t.Errorf("%s, and the walk finds nothing in %d states", tt.what, states)
			continue
		}
		what, _, _ := strings.Cut(found[0], ": old")
		t.Logf("%s: %s (%d states, %v)", tt.what, what, states, time.Since(begin).Round(time.Millisecond))
	}
	t.Logf("%d mistakes, %d of which have been made and mended", all, had)
}

// TestWalkFindsWhatIsWrong: each of these tables has one mistake.
func TestWalkFindsWhatIsWrong(t *testing.T) {
	for _, tt := range []struct {
		what string
		s    Life
		e    LifeEvent
		to   LifeStep
	}{
		{"a signal during the hand-over is forgotten", Handing, End, LifeStep{Handing, 0}},
		{"it ends the old process, which the daemon is not any more", Handing, End, LifeStep{Stopping, EndContext}},
		{"it is not passed on", Handing, Handed, LifeStep{Finishing, SayReady | EndContext}},
		{"it is not repeated", Handing, Failed, LifeStep{Working, 0}},
		{"the old process goes on without a worker", HandingOn, Failed, LifeStep{Working, Repeat}},
		{"a reload begins at the end", Stopping, Leave, LifeStep{Parting, 0}},
		{"the lock is given away at the end", Stopping, Hand, LifeStep{Handing, 0}},
		{"a stop while the successor waits is forgotten", Parting, End, LifeStep{Parting, CutShort}},
		{"a stop in the last moment is forgotten", Parted, End, LifeStep{Parted, 0}},
		{"a recalled successor takes over", Recalled, Depart, LifeStep{Parted, 0}},
	} {
		life := func(s Life, e LifeEvent) (LifeStep, bool) {
			if s == tt.s && e == tt.e {
				return tt.to, true
			}
			return s.Next(e)
		}
		r := theRules
		r.life = life
		if _, found, _ := visit(r, faults{}, []kind{bare}, 2, true); len(found) == 0 {
			t.Errorf("%s, and the walk finds nothing", tt.what)
		}
	}
	for _, tt := range []struct {
		what string
		s    TakeOver
		h    TakeOverEvent
		to   TakeOverStep
	}{
		{"it has said that it takes over, and ends", Took, Ends, TakeOverStep{Dropped, Settle}},
		{"it loses its patience when the predecessor counts on it", Counted, Late, TakeOverStep{Dropped, GiveUp | Settle}},
		{"it does not answer", Promised, Asks, TakeOverStep{Counted, 0}},
		{"it does not say that it has the lock", Asking, Granted, TakeOverStep{Took, 0}},
		{"it is the daemon before the old one has let go", Asking, Granted, TakeOverStep{TakingOver, SayTook | Become}},
		{"it works while the old one does", Waiting, Leaves, TakeOverStep{TakingOver, Become}},
		{"the death of the old one is not heard", Asking, WireEnds, TakeOverStep{Asking, 0}},
		{"the death of the old one ends it", Took, WireEnds, TakeOverStep{Dropped, EndSelf | Settle}},
		{"the end of the old one is not heard", Orphan, Gone, TakeOverStep{Orphan, 0}},
		{"a dead predecessor's words are no event", Daemon, Asks, TakeOverStep{}},
	} {
		take := func(s TakeOver, h TakeOverEvent) (TakeOverStep, bool) {
			if s == tt.s && h == tt.h {
				return tt.to, tt.to.To != 0
			}
			return s.Next(h)
		}
		r := theRules
		r.take = take
		if _, found, _ := visit(r, faults{}, []kind{bare}, 2, true); len(found) == 0 {
			t.Errorf("%s, and the walk finds nothing", tt.what)
		}
	}
}
