package phase

import (
	"fmt"
	"testing"
)

var (
	pleaNames   = [pleas]string{"", "Seeking", "Pleading", "SeekingNext", "Fulfilled", "Nobody", "Bereft", "Itself", "Nameless", "Rejected"}
	echoNames   = [echoes]string{"Shows", "ShowsSame", "ShowsSelf", "ShowsOne", "ShowsNil", "ShowsNot", "SaysDone", "SaysNo", "SaysNothing", "Deaf", "DeafStill", "Unheard", "PleaTired", "PleaOver"}
	resortNames = []string{"ShowPlea", "StartTrust", "PauseShort"}
)

// Every pair of who asks a daemon to reload is a row, or cannot come.
func TestEveryEchoOfAPleaHasARule(t *testing.T) {
	rows := 0
	for s := Seeking; s < pleas; s++ {
		for e := range echoes {
			_, ok := s.Next(e)
			why := ""
			switch {
			case s.Over():
				why = "it is over"
			case e >= SaysDone && s != Pleading:
				why = "nobody is being asked"
			case e < SaysDone && s == Pleading:
				why = "it is not looked who the daemon is"
			case e == ShowsSame && s == Seeking:
				why = "nobody has been asked"
			}
			if ok {
				rows++
			}
			if ok == (why != "") {
				t.Errorf("%s, %s: a row: %v; cannot come, because %q", pleaNames[s], echoNames[e], ok, why)
			}
		}
	}
	t.Logf("%d rows, %d pairs that cannot come", rows, int(pleas-1)*int(echoes)-rows)
}

// beseech is one moment of somebody who asks a daemon to reload.
type beseech struct {
	plea   Plea
	daemon uint8 // its generation; 0: there is none; stranger: a daemon that was started since
	hears  bool  // the daemon listens
	target uint8 // who is named; who is asked, while Pleading
	asked  uint8 // who was asked last
	wait   bool  // the connection is there, and no answer yet
	trust  bool  // the daemon need not listen yet
	shown  bool  // the line
	done   bool  // a reload was made for who asks
	late   bool  // the time for all of it is over

	died, again bool // what has come from outside: a death, a start after it
}

const (
	generations = 3
	stranger    = generations + 1
)

// walkPlea goes through all that can happen between who asks and a daemon that hands over, dies, and is
// started anew, and gives what is wrong.
func walkPlea(next func(Plea, Echo) (Reaction, bool)) (moments int, found []string) {
	bad := map[string]bool{}
	fault := func(m beseech, what string) {
		if !bad[what] {
			bad[what] = true
			found = append(found, fmt.Sprintf("%s: %s, %+v", what, pleaNames[m.plea], m))
		}
	}
	follow := map[beseech][]beseech{}
	outside := func(m beseech) [3]any { return [3]any{m.daemon, m.died, m.again} }
	todo := []beseech{{plea: Seeking, daemon: 1, hears: true}, {plea: Seeking, daemon: 1}, {plea: Seeking}}
	for len(todo) > 0 {
		m := todo[0]
		todo = todo[1:]
		if _, seen := follow[m]; seen {
			continue
		}
		follow[m] = nil
		if m.plea.Over() {
			ours := m.daemon != 0 && m.daemon != stranger
			switch {
			case m.plea == Fulfilled && !m.done:
				fault(m, "it is reloaded, and is not")
			case (m.plea == Nobody || m.plea == Bereft) && ours && !m.died:
				fault(m, "there is no daemon, and there is")
			case m.plea == Nobody && m.asked != 0, m.plea == Bereft && m.asked == 0:
				fault(m, "whether somebody was asked is forgotten")
			}
			continue
		}
		add := func(f func(*beseech)) {
			n := m
			f(&n)
			follow[m] = append(follow[m], n)
			todo = append(todo, n)
		}
		echo := func(e Echo, f func(*beseech)) {
			add(func(n *beseech) {
				r, ok := next(n.plea, e)
				if !ok {
					fault(m, "no row for "+echoNames[e])
				}
				if r.Do&ShowPlea != 0 {
					if n.shown {
						fault(m, "the line is shown twice")
					}
					n.shown = true
				}
				if e == Shows && r.Do&StartTrust == 0 || e == SaysNothing && r.To == SeekingNext && r.Do&StartTrust == 0 {
					fault(m, "who has only just become the daemon has no time to listen")
				}
				if r.To == Rejected && (e == SaysNothing || e == Deaf) {
					fault(m, "it is given up, and another process may have its place")
				}
				if e == DeafStill && !r.To.Over() || e == Deaf && r.Do&StartTrust != 0 {
					fault(m, "who does not listen is asked for ever")
				}
				if n.plea == Pleading && r.To == SeekingNext && r.Do&PauseShort == 0 {
					fault(m, "it is asked without a pause")
				}
				n.trust = n.trust || r.Do&StartTrust != 0
				n.plea = r.To
				if f != nil {
					f(n)
				}
				if n.plea == Pleading {
					if !n.shown {
						fault(m, "asked, and no line is shown")
					}
					n.asked = n.target
				}
			})
		}
		// The daemon, and its world.
		if m.daemon != 0 && m.daemon < generations {
			add(func(n *beseech) { n.daemon, n.hears = n.daemon+1, false })
		}
		if m.daemon != 0 && !m.died {
			add(func(n *beseech) { n.daemon, n.hears, n.died = 0, false, true })
		}
		if m.daemon == 0 && !m.again {
			add(func(n *beseech) { n.daemon, n.again = stranger, true })
		}
		if m.daemon != 0 && !m.hears {
			add(func(n *beseech) { n.hears = true })
		}
		if m.trust {
			add(func(n *beseech) { n.trust = false })
		}
		if m.plea == Pleading {
			add(func(n *beseech) { n.late = true })
		}
		// Who asks.
		switch m.plea {
		case Seeking, SeekingNext:
			switch {
			case m.daemon == 0, m.daemon == stranger && m.plea == SeekingNext:
				echo(ShowsNil, nil)
			case m.daemon == m.asked:
				echo(ShowsSame, func(n *beseech) { n.target = m.daemon })
			default:
				echo(Shows, func(n *beseech) { n.target = m.daemon })
			}
		case Pleading:
			switch {
			case m.late:
				echo(PleaTired, nil)
			case !m.wait && m.daemon == m.target && m.hears:
				add(func(n *beseech) { n.wait = true })
			case !m.wait && m.trust:
				echo(Deaf, nil)
			case !m.wait:
				echo(DeafStill, nil)
			default:
				gone := func(n *beseech) { n.wait = false }
				echo(SaysNothing, gone)
				if m.daemon != 0 {
					echo(SaysNo, gone)
					echo(SaysDone, func(n *beseech) { n.wait, n.done = false, true })
				}
			}
		}
	}
	// Nothing is blocked for ever, whatever the daemon does; and as long as it lives, it can be heard.
	leads := func(to func(beseech) bool, through func(from, to beseech) bool) map[beseech]bool {
		reach := map[beseech]bool{}
		for more := true; more; {
			more = false
			for m, list := range follow {
				if reach[m] {
					continue
				}
				is := to(m)
				for _, n := range list {
					is = is || reach[n] && through(m, n)
				}
				if is {
					reach[m], more = true, true
				}
			}
		}
		return reach
	}
	quiet := func(from, to beseech) bool { return outside(from) == outside(to) }
	over := leads(func(m beseech) bool { return m.plea.Over() }, func(from, to beseech) bool { return quiet(from, to) && from.hears == to.hears })
	well := leads(func(m beseech) bool { return m.plea == Fulfilled }, quiet)
	for m := range follow {
		if !over[m] {
			fault(m, "it waits for ever")
		}
		ours := m.daemon != 0 && m.daemon != stranger
		if !m.plea.Over() && ours && !m.late && (m.trust || m.plea != Pleading || m.hears && m.daemon == m.target) && (m.trust || m.daemon != m.asked || m.hears) && !well[m] {
			fault(m, "the daemon lives, and cannot be asked")
		}
	}
	return len(follow), found
}

func TestPlea(t *testing.T) {
	moments, found := walkPlea(Plea.Next)
	for _, f := range found {
		t.Error(f)
	}
	t.Logf("%d moments", moments)
	for _, tt := range []struct {
		what string
		s    Plea
		e    Echo
		to   Reaction
	}{
		{"a daemon that hands over is not asked again", Pleading, SaysNothing, Reaction{Rejected, 0}},
		{"a daemon that has only just begun is not asked again", Pleading, Deaf, Reaction{Rejected, 0}},
		{"one that never listens is asked for ever", Pleading, DeafStill, Reaction{SeekingNext, PauseShort}},
		{"the next process has the time of the last one", SeekingNext, Shows, Reaction{Pleading, 0}},
		{"an end without an answer counts as done", Pleading, SaysNothing, Reaction{Fulfilled, 0}},
		{"a daemon that has ended was never there", SeekingNext, ShowsNil, Reaction{Nobody, 0}},
		{"nobody is told that something is tried", Seeking, Shows, Reaction{Pleading, StartTrust}},
		{"the limit is forgotten", Pleading, PleaTired, Reaction{SeekingNext, PauseShort}},
		{"a machine is kept busy with asking", Pleading, Deaf, Reaction{SeekingNext, 0}},
	} {
		if _, found := walkPlea(func(p Plea, e Echo) (Reaction, bool) {
			if p == tt.s && e == tt.e {
				return tt.to, true
			}
			return p.Next(e)
		}); len(found) == 0 {
			t.Errorf("%s, and the walk finds nothing", tt.what)
		} else {
			t.Logf("%s: %s", tt.what, found[0])
		}
	}
}
