package program

import (
	"bufio"
	"fmt"
	"os/exec"
	"syscall"
	"testing"

	"github.com/daemonocle/daemonocle/internal/testkit"
)

// What has made the daemon leads its session, and may live a little longer than a program
// that went into the background at once. It is nothing that the program has left.
func TestLeaderOfTheSessionIsNothingOfTheProgram(t *testing.T) {
	testkit.Alone(t) // who else is a child of this process counts as left
	leader := exec.Command("sh", "-c", "sleep 1000 & echo $!; wait")
	leader.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	out, err := leader.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := leader.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	var program int
	fmt.Sscan(line, &program)
	t.Cleanup(func() {
		syscall.Kill(-leader.Process.Pid, syscall.SIGKILL)
		leader.Wait()
		testkit.WaitGone(t, program)
	})
	var met []int
	for _, h := range remains(program, leader.Process.Pid) {
		met = append(met, h.PID())
		h.Close()
	}
	if len(met) != 1 || met[0] != program {
		t.Errorf("met %v, want %d alone", met, program)
	}
}
