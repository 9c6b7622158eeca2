package proc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func init() {
	// busy keeps one CPU busy and says what it has used, when asked.
	helpers["busy"] = func([]string) {
		stop := make(chan struct{})
		go func() {
			for n := 0; ; n++ {
				if n%1000 == 0 {
					select {
					case <-stop:
						return
					default:
					}
				}
			}
		}()
		fmt.Println("ready")
		b := make([]byte, 1)
		for {
			if _, err := io.ReadFull(os.Stdin, b); err != nil {
				return
			}
			var ru unix.Rusage
			unix.Getrusage(unix.RUSAGE_SELF, &ru)
			fmt.Println(ru.Utime.Nano() + ru.Stime.Nano())
		}
	}
}

func (p *program) used() time.Duration {
	p.t.Helper()
	// A lone newline is one byte, and one question.
	n, err := strconv.ParseInt(p.ask(""), 10, 64)
	if err != nil {
		p.t.Fatal(err)
	}
	return time.Duration(n)
}

func TestMeasure(t *testing.T) {
	busy, idle := run(t, "busy"), run(t, "wait")
	const window = 300 * time.Millisecond
	from, at := busy.used(), time.Now()
	u, err := Measure(context.Background(), window, []int{busy.pid(), idle.pid()})
	used, took := busy.used()-from, time.Since(at)
	if err != nil {
		t.Fatal(err)
	}
	if took < window {
		t.Errorf("measured for %v, want at least %v", took, window)
	}
	// What it used of its own account, in a window that is a little longer.
	// Another program may have the CPU, so only the two may be compared.
	want := 100 * float64(used) / float64(took)
	if math.Abs(u.CPU-want) > 15+want/5 {
		t.Errorf("CPU = %.1f %%, want about %.1f %%", u.CPU, want)
	}
	if u.Memory <= 0 || u.Memory > 50 {
		t.Errorf("Memory = %v %%", u.Memory)
	}

	u, err = Measure(context.Background(), 100*time.Millisecond, []int{idle.pid()})
	if err != nil || u.CPU < 0 || u.CPU > 5 {
		t.Errorf("idle: CPU = %v, %v, want about 0", u.CPU, err)
	}
	start := time.Now()
	if u, err := Measure(context.Background(), 0, []int{busy.pid()}); err != nil || u.CPU != 0 || u.Memory <= 0 {
		t.Errorf("without a window: %+v, %v", u, err)
	} else if time.Since(start) > giveUp/4 {
		t.Error("waited without a window")
	}
}

func TestMeasureMemory(t *testing.T) {
	p := run(t, "wait")
	u, err := Measure(context.Background(), 0, []int{p.pid()})
	if err != nil {
		t.Fatal(err)
	}
	rss := psNumber(t, p.pid(), "rss")
	out, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		t.Fatal(err)
	}
	total, err := strconv.ParseFloat(strings.Fields(string(out))[1], 64) // MemTotal is the first line
	if err != nil {
		t.Fatal(err)
	}
	if want := 100 * rss / total; math.Abs(u.Memory-want) > want/4 {
		t.Errorf("Memory = %v %%, want about %v %%", u.Memory, want)
	}
}

func TestMeasureComingAndGoing(t *testing.T) {
	idle, busy := run(t, "wait"), run(t, "busy")
	busy.used() // it is spinning
	zombie := run(t, "wait")
	zombie.zombie()
	never := run(t, "wait")
	never.zombie()
	never.Wait()

	done := make(chan struct{})
	go func() { // busy is gone before the window ends, having used much
		defer close(done)
		busy.Process.Kill()
	}()
	u, err := Measure(context.Background(), 200*time.Millisecond, []int{idle.pid(), busy.pid(), zombie.pid(), never.pid()})
	<-done
	if err != nil || u.CPU < 0 || u.CPU > 5 {
		t.Errorf("Measure = %+v, %v, want about no CPU", u, err)
	}
	for _, window := range []time.Duration{0, time.Millisecond} {
		if u, err := Measure(context.Background(), window, []int{zombie.pid(), never.pid()}); !errors.Is(err, ErrGone) {
			t.Errorf("only gone ones: %+v, %v, want ErrGone", u, err)
		}
		if u, err := Measure(context.Background(), window, nil); err != nil || u != (Usage{}) {
			t.Errorf("none: %+v, %v", u, err)
		}
	}
}

func TestMeasureEnds(t *testing.T) {
	why := errors.New("enough")
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(why)
	_, err := Measure(ctx, time.Hour, []int{os.Getpid()})
	if !errors.Is(err, context.Canceled) || !errors.Is(err, why) {
		t.Errorf("Measure = %v, want Canceled and its cause", err)
	}
}

// psNumber asks ps, which is somebody else's reading of the same kernel.
func psNumber(t *testing.T, pid int, column string) float64 {
	t.Helper()
	n, err := strconv.ParseFloat(ps(t, pid, column), 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func ps(t *testing.T, pid int, column string) string {
	t.Helper()
	out, err := exec.Command("ps", "-o", column+"=", "-p", strconv.Itoa(pid)).Output()
	if errors.Is(err, exec.ErrNotFound) {
		t.Skip("no ps to ask")
	}
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}
