package daemonocle

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"strings"

	"github.com/daemonocle/daemonocle/internal/environ"
	"github.com/daemonocle/daemonocle/internal/fault"
	"github.com/daemonocle/daemonocle/internal/paths"
	"github.com/daemonocle/daemonocle/internal/plan"
	"github.com/daemonocle/daemonocle/internal/sockets"
)

// Listen returns the daemon's listener for an address, in a start hook, a
// privileged hook or a worker, whose context it needs. In this order it is:
//
//   - the one that is open already: to ask twice, also in another hook, gives the
//     same listener, until it is closed;
//   - one that was handed to this process: by the launcher, where the start hook
//     asked for it, or by a service manager (socket activation), if it is bound to
//     the address;
//   - a new one.
//
// What the start hook opens, all daemons inherit that this call starts, so that the
// workers of a group share it. A new TCP socket of a group has SO_REUSEPORT, so that
// a worker that is started later can listen as well. The launcher's own listener is closed with the verdict: a hook
// need not, and must not, close it.
//
// The network is tcp, tcp4, tcp6 or unix; the listener is a *net.TCPListener or a
// *net.UnixListener. Or it is fdname, and the address the name that a service
// manager gave the socket (FileDescriptorName= in systemd): then no new one is
// opened.
//
// The path of a Unix socket must be absolute. In the place of a socket's file that
// a dead process has left a new one is made; one on which somebody listens is an
// error. To close the listener leaves the file: it is removed when the daemon ends,
// if nobody listens on it by then and the daemon may and can, which in a chroot it
// cannot if the file is outside.
//
// When the worker calls Ready, what was handed over and nobody has asked for is
// closed. What is open when the worker and the shutdown hook have returned is
// closed then.
//
// ctx bounds the lookup of host names. The error wraps that of the system, such as
// syscall.EADDRINUSE.
func Listen(ctx context.Context, network, address string) (net.Listener, error) {
	s := sockets.Of(ctx)
	if s == nil {
		return nil, errors.New("daemonocle: listen: the context is not a worker's or a hook's")
	}
	ln, err := s.Listen(ctx, network, address, passedByManager)
	if errors.Is(err, fs.ErrPermission) && strings.HasPrefix(network, "tcp") {
		err = fmt.Errorf("%w (ports below 1024 are root's: start as root, and listen before the change of user)", err)
	}
	if link, ok := errors.AsType[*paths.LinkError](err); ok {
		err = fault.Say("listen "+network+" "+address+": "+plan.Cause(link), err)
	}
	return ln, err
}

func passedByManager() (list []sockets.Passed) {
	fds, names := environ.TakeListenFDs()
	for i, fd := range fds {
		list = append(list, sockets.Passed{FD: fd, Name: names[i]})
	}
	return list
}
