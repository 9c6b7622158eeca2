//go:build unix

package program

import (
	"bufio"
	"errors"
	"os"
	"strconv"
	"strings"

	"github.com/daemonocle/daemonocle/internal/fault"
	"github.com/daemonocle/daemonocle/internal/inside"
	"github.com/daemonocle/daemonocle/internal/launch"
	"github.com/daemonocle/daemonocle/internal/limits"
	"github.com/daemonocle/daemonocle/internal/plan"
	"github.com/daemonocle/daemonocle/internal/users"
)

// checkInterpreter looks at what the first line of a script names: the kernel
// would say that the script does not exist.
func checkInterpreter(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return nil // not readable, which need not be
	}
	defer f.Close()
	line, err := bufio.NewReaderSize(f, 256).ReadSlice('\n')
	if err != nil && !errors.Is(err, bufio.ErrBufferFull) && len(line) == 0 {
		return nil
	}
	text, isScript := strings.CutPrefix(string(line), "#!")
	words := strings.Fields(text)
	if !isScript || len(words) == 0 {
		return nil
	}
	if err := executable(words[0]); err != nil {
		return &Error{path, fault.Say("its interpreter "+words[0]+": "+plan.Cause(err), err), "Install the interpreter, or correct the first line of the script."}
	}
	return nil
}

// Raise takes what only a privileged process gets: hard limits that are higher
// than ours, and a lower niceness. The rest comes last, when nothing but the
// program can trip over it.
func (p *Program) Raise(own *plan.Plan, op string) error {
	if id := own.ID; id.SwitchUser { // before the root directory changes
		if u, err := users.ByID(strconv.Itoa(id.UID)); err == nil {
			p.user = []string{"HOME=" + u.HomeDir, "USER=" + u.Username, "LOGNAME=" + u.Username}
		}
	}
	for _, limit := range p.Limits {
		if err := limits.Raise(limit.Resource, limit.Hard); err != nil {
			return own.Cannot(op, "raise a resource limit of", p.Name, err, "Start as root, or ask for less.")
		}
	}
	if p.Nice != 0 {
		if err := limits.Renice(p.Nice); err != nil {
			return own.Cannot(op, "set the niceness of", p.Name, err, "Only root can lower it.")
		}
	}
	return nil
}

// execute returns only with an error.
func (p *Program) execute(l *inside.Life, path string, argv, env []string) error {
	if err := l.HandOn(); err != nil {
		return err
	}
	for _, limit := range p.Limits {
		if err := limits.Set(limit.Resource, limit.Soft, limit.Hard); err != nil {
			return os.NewSyscallError("setrlimit", err)
		}
	}
	return launch.Exec(path, argv, env, l.Kept())
}
