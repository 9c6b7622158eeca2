package control

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// id is a name that nobody else has.
func id(t *testing.T) string { return fmt.Sprintf("test-%d-%s", os.Getpid(), t.Name()) }

func serve(t *testing.T, handle func(*Asker, Request)) {
	t.Helper()
	s, err := Listen(id(t))
	if err != nil {
		t.Fatal(err)
	}
	go s.Serve(handle)
	t.Cleanup(s.Close)
}

func limit(t *testing.T) context.Context {
	ctx, stop := context.WithTimeout(t.Context(), 10*time.Second)
	t.Cleanup(stop)
	return ctx
}

func TestAskAndAnswer(t *testing.T) {
	serve(t, func(a *Asker, r Request) {
		if r.Replace {
			a.Answer(Answer{PID: 7, Generation: 2})
		} else {
			a.Close()
		}
	})
	if a, err := Ask(limit(t), id(t), os.Getpid(), Request{Replace: true}); err != nil || a.PID != 7 || a.Generation != 2 {
		t.Errorf("got %+v, %v", a, err)
	}
	if a, err := Ask(limit(t), id(t), os.Getpid(), Request{}); !errors.Is(err, ErrUnanswered) {
		t.Errorf("got %+v, %v", a, err)
	}
}

func TestNobodyListens(t *testing.T) {
	if _, err := Ask(limit(t), id(t), os.Getpid(), Request{}); !errors.Is(err, ErrNobody) {
		t.Errorf("got %v", err)
	}
}

func TestStrangerIsNotAsked(t *testing.T) {
	asked := make(chan bool, 1)
	serve(t, func(a *Asker, _ Request) { asked <- true; a.Close() })
	if _, err := Ask(limit(t), id(t), os.Getppid(), Request{}); !errors.Is(err, ErrStranger) {
		t.Errorf("got %v", err)
	}
	select {
	case <-asked:
		t.Error("it was asked")
	default:
	}
}

func TestTheNameIsOnesOwn(t *testing.T) {
	serve(t, func(a *Asker, _ Request) { a.Close() })
	if s, err := Listen(id(t)); !errors.Is(err, unix.EADDRINUSE) {
		t.Errorf("got %v, %v", s, err)
	}
}

func TestWaitingForAnAnswerCanBeGivenUp(t *testing.T) {
	serve(t, func(*Asker, Request) {})
	ctx, stop := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer stop()
	if _, err := Ask(ctx, id(t), os.Getpid(), Request{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func TestWhoCannotBeUnderstoodIsToldSo(t *testing.T) {
	serve(t, func(*Asker, Request) { t.Error("it was understood") })
	f, err := connect(id(t))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	fmt.Fprintln(f, "what time is it?")
	line, err := readLine(f)
	if a, bad := decodeAnswer(line); err != nil || bad != nil || a.Err == "" {
		t.Errorf("got %q, %v, %v", line, err, bad)
	}
}

// The answer comes from whoever has inherited the asker.
func TestAnotherCanAnswer(t *testing.T) {
	serve(t, func(a *Asker, _ Request) {
		fd, err := unix.FcntlInt(uintptr(a.FD()), unix.F_DUPFD_CLOEXEC, 3)
		if err != nil {
			t.Error(err)
		}
		a.Close()
		Resume(os.NewFile(uintptr(fd), "asker")).Answer(Answer{PID: 9})
	})
	if a, err := Ask(limit(t), id(t), os.Getpid(), Request{}); err != nil || a.PID != 9 {
		t.Errorf("got %+v, %v", a, err)
	}
}

// The daemon knows of an asker who has gone.
func TestAskerWhoGoesIsGone(t *testing.T) {
	asker := make(chan *Asker)
	serve(t, func(a *Asker, _ Request) { asker <- a })
	for range 2 {
		f, err := connect(id(t))
		if err != nil {
			t.Fatal(err)
		}
		f.Write(Request{}.encode())
		a := <-asker
		if a.Gone() {
			t.Error("who waits is gone")
		}
		f.Close()
		if !a.Gone() {
			t.Error("who has closed the connection is not gone")
		}
		a.Close()
		if a.Gone() {
			t.Error("a closed connection says something")
		}
	}
	if (*Asker)(nil).Gone() {
		t.Error("nobody is gone")
	}
}
