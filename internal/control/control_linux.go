package control

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"syscall"
	"time"

	"github.com/daemonocle/daemonocle/internal/retried"
	"github.com/daemonocle/daemonocle/internal/timing"
	"golang.org/x/sys/unix"
)

// address: id is what pidfile.Report.Inode says.
func address(id string) *unix.SockaddrUnix { return &unix.SockaddrUnix{Name: "@daemonocle/" + id} }

// backlog is how many may wait to be heard at one time; more have to try again.
const backlog = 128

// Server is where a daemon is asked.
type Server struct{ file *os.File }

// Asker waits for an answer.
type Asker struct{ file *os.File }

// Listen takes the name. It fails if somebody has it.
func Listen(id string) (*Server, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	if err := unix.Bind(fd, address(id)); err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("bind", err)
	}
	// From here on the kernel tells askers this process's number.
	if err := unix.Listen(fd, backlog); err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("listen", err)
	}
	return &Server{os.NewFile(uintptr(fd), "control")}, nil
}

// Serve calls handle for each who may ask, in a goroutine of its own, until Close.
func (s *Server) Serve(handle func(*Asker, Request)) {
	conn, err := s.file.SyscallConn()
	if err != nil {
		return
	}
	for {
		fd := -1
		var failed error
		err := conn.Read(func(l uintptr) bool {
			fd, failed = retried.Accept4(int(l), unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK)
			return failed != unix.EAGAIN
		})
		if err != nil {
			return
		}
		switch failed {
		case nil:
			go receive(Resume(os.NewFile(uintptr(fd), "asker")), handle)
		case unix.EMFILE, unix.ENFILE, unix.ENOMEM, unix.ENOBUFS:
			time.Sleep(timing.AskerSpeaks / 50) // the program's own affair, which may pass
		case unix.ECONNABORTED:
		default:
			return
		}
	}
}

func receive(a *Asker, handle func(*Asker, Request)) {
	if cred, err := peer(a.file); err != nil || cred.Uid != 0 && int(cred.Uid) != os.Geteuid() {
		a.Answer(Answer{Capital: true, Err: "only root and the daemon's own user may ask it to reload"})
		return
	}
	a.file.SetReadDeadline(time.Now().Add(timing.AskerSpeaks))
	line, err := readLine(a.file)
	if err != nil {
		a.Close()
		return
	}
	r, err := decodeRequest(line)
	if err != nil {
		a.Answer(Answer{Err: "the daemon does not understand the question: " + err.Error()})
		return
	}
	a.file.SetReadDeadline(time.Time{})
	handle(a, r)
}

func readLine(r io.Reader) (string, error) {
	line, err := bufio.NewReaderSize(io.LimitReader(r, maxMessage), maxMessage+1).ReadSlice('\n')
	return string(line), err
}

func peer(f *os.File) (cred *unix.Ucred, err error) {
	conn, err := f.SyscallConn()
	if err != nil {
		return nil, err
	}
	failed := conn.Control(func(fd uintptr) { cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) })
	return cred, errors.Join(failed, err)
}

// Close gives the name free. Whoever has not been answered hears the end.
func (s *Server) Close() {
	if s != nil {
		s.file.Close()
	}
}

// Resume is the Asker of a predecessor, whose file this process has inherited.
func Resume(f *os.File) *Asker { return &Asker{f} }

// FD is what a successor must inherit to give the answer.
func (a *Asker) FD() int {
	fd := -1
	if conn, err := a.file.SyscallConn(); err == nil {
		conn.Control(func(n uintptr) { fd = int(n) })
	}
	return fd
}

// Gone reports whether the asker does not wait any more. No asker is none who could go.
func (a *Asker) Gone() bool {
	if a == nil {
		return false
	}
	fds := []unix.PollFd{{Fd: int32(a.FD())}}
	n, err := retried.Poll(fds, 0)
	return err == nil && n > 0 && fds[0].Revents&unix.POLLHUP != 0
}

// Answer gives the answer and forgets the asker.
func (a *Asker) Answer(answer Answer) {
	a.file.SetWriteDeadline(time.Now().Add(timing.AskerSpeaks))
	a.file.Write(answer.encode()) // who does not wait any more need not hear it
	a.file.Close()
}

// Close forgets the asker, who may ask again.
func (a *Asker) Close() { a.file.Close() }

// Ask asks the daemon with that PID. ctx bounds the wait for the answer.
func Ask(ctx context.Context, id string, pid int, r Request) (Answer, error) {
	f, err := connect(id)
	if errors.Is(err, ErrNobody) && elsewhere(pid) {
		err = ErrElsewhere
	}
	if err != nil {
		return Answer{}, err
	}
	defer f.Close()
	if cred, err := peer(f); err != nil || int(cred.Pid) != pid {
		return Answer{}, ErrStranger
	}
	defer context.AfterFunc(ctx, func() { f.SetDeadline(time.Unix(1, 0)) })()
	_, err = f.Write(r.encode())
	var line string
	if err == nil {
		line, err = readLine(f)
	}
	switch {
	case ctx.Err() != nil:
		return Answer{}, context.Cause(ctx)
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return Answer{}, ErrUnanswered
	case err != nil:
		return Answer{}, fmt.Errorf("ask the daemon: %w", err)
	}
	return decodeAnswer(line)
}

// elsewhere reports whether the process is in another network namespace, as far as may be
// known: names of sockets are those of one.
func elsewhere(pid int) bool {
	own, err := os.Readlink("/proc/self/ns/net")
	its, unknown := os.Readlink("/proc/" + strconv.Itoa(pid) + "/ns/net")
	return err == nil && unknown == nil && its != own
}

func connect(id string) (*os.File, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	switch err := retried.Connect(fd, address(id)); err {
	case nil:
		return os.NewFile(uintptr(fd), "control"), nil
	case unix.EAGAIN:
		unix.Close(fd)
		return nil, ErrCrowded
	case unix.ECONNREFUSED:
		unix.Close(fd)
		return nil, ErrNobody
	default:
		unix.Close(fd)
		return nil, os.NewSyscallError("connect", err)
	}
}
