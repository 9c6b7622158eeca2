package sdnotify

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/daemonocle/daemonocle/internal/testkit"
)

// A listener hears what a client says, if that one is trusted, and answers a barrier.
func TestListener(t *testing.T) {
	l, err := Listen()
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, stop := context.WithTimeout(context.Background(), testkit.Patience)
	defer stop()
	asked := 0
	heard := make(chan bool)
	go func() {
		heard <- l.Ready(ctx, func(s Sender) bool {
			if s != (Sender{os.Getpid(), os.Geteuid()}) {
				t.Errorf("%+v has sent it", s)
			}
			asked++
			return asked > 1 // the first message is a stranger's
		})
	}()
	c := dial(t, l.Name)
	for _, fields := range [][]string{{Ready, Status("first")}, {Status("second")}} {
		if err := c.Send(fields...); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.HandOver(ctx, 42); err != nil { // it waits until both were taken, and its descriptor closed
		t.Fatal(err)
	}
	if got := l.Status(); got != "second" {
		t.Errorf("the status is %q", got)
	}
	if err := c.TakeBack(); err != nil {
		t.Fatal(err)
	}
	if err := c.Send(Ready); err != nil {
		t.Fatal(err)
	}
	if !<-heard {
		t.Error("it was not ready")
	}
}

func TestListenerEndsWithItsContext(t *testing.T) {
	l, err := Listen()
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(context.Background(), time.Millisecond)
	defer stop()
	if l.Ready(ctx, func(Sender) bool { return true }) {
		t.Error("it is ready, and nobody has said so")
	}
}
