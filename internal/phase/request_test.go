package phase

import (
	"fmt"
	"testing"
)

var (
	requestNames       = [requests]string{"", "Seeking", "Requested", "SeekingNext", "Reloaded", "NoDaemon", "DaemonGone", "Self", "DaemonUnnamed", "RequestFailed"}
	requestEventNames  = [requestEvents]string{"FindsProcess", "FindsSame", "FindsSelf", "FindsUnnamed", "FindsNone", "FindFails", "SaysDone", "SaysNo", "Disconnects", "NotListening", "StillNotListening", "Unreachable", "RequestTimesOut", "RequestCancelled"}
	requestEffectNames = []string{"ShowRequest", "StartGrace", "PauseShort"}
)

// Every pair of who asks a daemon to reload is a row, or cannot come.
func TestEveryEventOfARequestHasARule(t *testing.T) {
	rows := 0
	for s := Seeking; s < requests; s++ {
		for e := range requestEvents {
			_, ok := s.Next(e)
			why := ""
			switch {
			case s.Over():
				why = "it is over"
			case e >= SaysDone && s != Requested:
				why = "nobody is being asked"
			case e < SaysDone && s == Requested:
				why = "it is not looked who the daemon is"
			case e == FindsSame && s == Seeking:
				why = "nobody has been asked"
			}
			if ok {
				rows++
			}
			if ok == (why != "") {
				t.Errorf("%s, %s: a row: %v; cannot come, because %q", requestNames[s], requestEventNames[e], ok, why)
			}
		}
	}
	t.Logf("%d rows, %d pairs that cannot come", rows, int(requests-1)*int(requestEvents)-rows)
}

// requester is one moment of somebody who asks a daemon to reload.
type requester struct {
	request Request
	daemon  uint8 // its generation; 0: there is none; stranger: a daemon that was started since
	hears   bool  // the daemon listens
	target  uint8 // who is named; who is asked, while Requested
	asked   uint8 // who was asked last
	wait    bool  // the connection is there, and no answer yet
	grace   bool  // the daemon need not listen yet
	shown   bool  // the line
	done    bool  // a reload was made for who asks
	late    bool  // the time for all of it is over

	died, again bool // what has come from outside: a death, a start after it
}

const (
	generations = 3
	stranger    = generations + 1
)

// walkRequest goes through all that can happen between who asks and a daemon that hands over, dies, and is
// started anew, and gives what is wrong.
func walkRequest(next func(Request, RequestEvent) (RequestStep, bool)) (moments int, found []string) {
	bad := map[string]bool{}
	fault := func(m requester, what string) {
		if !bad[what] {
			bad[what] = true
			found = append(found, fmt.Sprintf("%s: %s, %+v", what, requestNames[m.request], m))
		}
	}
	follow := map[requester][]requester{}
	outside := func(m requester) [3]any { return [3]any{m.daemon, m.died, m.again} }
	todo := []requester{{request: Seeking, daemon: 1, hears: true}, {request: Seeking, daemon: 1}, {request: Seeking}}
	for len(todo) > 0 {
		m := todo[0]
		todo = todo[1:]
		if _, seen := follow[m]; seen {
			continue
		}
		follow[m] = nil
		if m.request.Over() {
			ours := m.daemon != 0 && m.daemon != stranger
			switch {
			case m.request == Reloaded && !m.done:
				fault(m, "it is reloaded, and is not")
			case (m.request == NoDaemon || m.request == DaemonGone) && ours && !m.died:
				fault(m, "there is no daemon, and there is")
			case m.request == NoDaemon && m.asked != 0, m.request == DaemonGone && m.asked == 0:
				fault(m, "whether somebody was asked is forgotten")
			}
			continue
		}
		add := func(f func(*requester)) {
			n := m
			f(&n)
			follow[m] = append(follow[m], n)
			todo = append(todo, n)
		}
		event := func(e RequestEvent, f func(*requester)) {
			add(func(n *requester) {
				r, ok := next(n.request, e)
				if !ok {
					fault(m, "no row for "+requestEventNames[e])
				}
				if r.Do&ShowRequest != 0 {
					if n.shown {
						fault(m, "the line is shown twice")
					}
					n.shown = true
				}
				if e == FindsProcess && r.Do&StartGrace == 0 || e == Disconnects && r.To == SeekingNext && r.Do&StartGrace == 0 {
					fault(m, "who has only just become the daemon has no time to listen")
				}
				if r.To == RequestFailed && (e == Disconnects || e == NotListening) {
					fault(m, "it is given up, and another process may have its place")
				}
				if e == StillNotListening && !r.To.Over() || e == NotListening && r.Do&StartGrace != 0 {
					fault(m, "who does not listen is asked for ever")
				}
				if n.request == Requested && r.To == SeekingNext && r.Do&PauseShort == 0 {
					fault(m, "it is asked without a pause")
				}
				n.grace = n.grace || r.Do&StartGrace != 0
				n.request = r.To
				if f != nil {
					f(n)
				}
				if n.request == Requested {
					if !n.shown {
						fault(m, "asked, and no line is shown")
					}
					n.asked = n.target
				}
			})
		}
		// The daemon, and its world.
		if m.daemon != 0 && m.daemon < generations {
			add(func(n *requester) { n.daemon, n.hears = n.daemon+1, false })
		}
		if m.daemon != 0 && !m.died {
			add(func(n *requester) { n.daemon, n.hears, n.died = 0, false, true })
		}
		if m.daemon == 0 && !m.again {
			add(func(n *requester) { n.daemon, n.again = stranger, true })
		}
		if m.daemon != 0 && !m.hears {
			add(func(n *requester) { n.hears = true })
		}
		if m.grace {
			add(func(n *requester) { n.grace = false })
		}
		if m.request == Requested {
			add(func(n *requester) { n.late = true })
		}
		// Who asks.
		switch m.request {
		case Seeking, SeekingNext:
			switch {
			case m.daemon == 0, m.daemon == stranger && m.request == SeekingNext:
				event(FindsNone, nil)
			case m.daemon == m.asked:
				event(FindsSame, func(n *requester) { n.target = m.daemon })
			default:
				event(FindsProcess, func(n *requester) { n.target = m.daemon })
			}
		case Requested:
			switch {
			case m.late && m.wait:
				event(RequestTimesOut, nil)
			case !m.wait && m.daemon == m.target && m.hears:
				add(func(n *requester) { n.wait = true })
			case !m.wait && m.grace && !m.late:
				event(NotListening, nil)
			case !m.wait:
				event(StillNotListening, nil)
			default:
				gone := func(n *requester) { n.wait = false }
				event(Disconnects, gone)
				if m.daemon != 0 {
					event(SaysNo, gone)
					event(SaysDone, func(n *requester) { n.wait, n.done = false, true })
				}
			}
		}
	}
	// Nothing is blocked for ever, whatever the daemon does; and as long as it lives, it can be heard.
	leads := func(to func(requester) bool, through func(from, to requester) bool) map[requester]bool {
		reach := map[requester]bool{}
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
	quiet := func(from, to requester) bool { return outside(from) == outside(to) }
	over := leads(func(m requester) bool { return m.request.Over() }, func(from, to requester) bool { return quiet(from, to) && from.hears == to.hears })
	well := leads(func(m requester) bool { return m.request == Reloaded }, quiet)
	for m := range follow {
		if !over[m] {
			fault(m, "it waits for ever")
		}
		ours := m.daemon != 0 && m.daemon != stranger
		if !m.request.Over() && ours && !m.late && (m.grace || m.request != Requested || m.hears && m.daemon == m.target) && (m.grace || m.daemon != m.asked || m.hears) && !well[m] {
			fault(m, "the daemon lives, and cannot be asked")
		}
	}
	return len(follow), found
}

func TestRequest(t *testing.T) {
	moments, found := walkRequest(Request.Next)
	for _, f := range found {
		t.Error(f)
	}
	t.Logf("%d moments", moments)
	for _, tt := range []struct {
		what string
		s    Request
		e    RequestEvent
		to   RequestStep
	}{
		{"a daemon that hands over is not asked again", Requested, Disconnects, RequestStep{RequestFailed, 0}},
		{"a daemon that has only just begun is not asked again", Requested, NotListening, RequestStep{RequestFailed, 0}},
		{"one that never listens is asked for ever", Requested, StillNotListening, RequestStep{SeekingNext, PauseShort}},
		{"the next process has the time of the last one", SeekingNext, FindsProcess, RequestStep{Requested, 0}},
		{"an end without an answer counts as done", Requested, Disconnects, RequestStep{Reloaded, 0}},
		{"a daemon that has ended was never there", SeekingNext, FindsNone, RequestStep{NoDaemon, 0}},
		{"nobody is told that something is tried", Seeking, FindsProcess, RequestStep{Requested, StartGrace}},
		{"the limit is forgotten", Requested, RequestTimesOut, RequestStep{SeekingNext, PauseShort}},
		{"a machine is kept busy with asking", Requested, NotListening, RequestStep{SeekingNext, 0}},
	} {
		if _, found := walkRequest(func(r Request, e RequestEvent) (RequestStep, bool) {
			if r == tt.s && e == tt.e {
				return tt.to, true
			}
			return r.Next(e)
		}); len(found) == 0 {
			t.Errorf("%s, and the walk finds nothing", tt.what)
		} else {
			t.Logf("%s: %s", tt.what, found[0])
		}
	}
}
