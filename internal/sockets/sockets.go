// Package sockets keeps the listening sockets of a daemon: those that it is
// handed by its launcher or by a service manager, and those that it opens itself.
//
// A set holds no second copy of a socket that is in use: when the program closes
// its listener, the kernel refuses connections from then on.
package sockets

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"unicode"
)

// Set is the sockets of one life of a daemon, or of one start. The zero value is
// empty. Its methods may be called concurrently. What only Listen needs is not
// linked into a program that never listens.
type Set struct {
	// Shared: other processes of the same user that say so as well may listen on
	// the TCP ports of new sockets, and the kernel gives each its share of the
	// connections (SO_REUSEPORT).
	Shared bool

	mu     sync.Mutex
	handed []*os.File // nobody has looked at them yet
	list   []*socket
	over   bool
}

type socket struct {
	// network and address are as the program asked for them; empty if a service
	// manager made the socket and nobody has asked yet.
	network, address string
	name             string // the service manager's
	identity         string // of the file of a Unix socket that is ours to remove
	listener         listener
	claimed          bool
}

// listener is what *net.TCPListener and *net.UnixListener have in common.
type listener interface {
	net.Listener
	syscall.Conn
}

// NameNetwork is the network of addresses that are a service manager's names for
// sockets.
const NameNetwork = "fdname"

// ErrNoSocket: no socket has that name.
var ErrNoSocket = errors.New("the service manager passed no listening socket of this name")

// Hand puts a file into the set that a launcher has handed over; its name is one
// that Files gave. The set owns it from then on.
func (s *Set) Hand(f *os.File) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.handed = append(s.handed, f)
}

// Passed is a descriptor that a service manager has passed.
type Passed struct {
	FD   int
	Name string
}

// Listen returns a listener for the address: the one that is open already, else
// one that was handed over, else a new one. passed gives, once, what a service
// manager has passed to this process; only listening stream sockets are taken
// from it, the rest is left alone. ctx bounds the lookup of host names.
func (s *Set) Listen(ctx context.Context, network, address string, passed func() []Passed) (net.Listener, error) {
	if err := check(network, address); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return nil, net.ErrClosed
	}
	s.unpack()
	for _, p := range passed() {
		s.pass(p)
	}
	if k := s.find(ctx, network, address); k != nil {
		if k.network == "" {
			k.network, k.address = network, address
		}
		k.claimed = true
		return k.listener, nil
	}
	if network == NameNetwork {
		return nil, fmt.Errorf("listen %s %s: %w; there are %s", network, address, ErrNoSocket, s.names())
	}
	ln, identity, err := open(ctx, network, address, s.Shared)
	if err != nil {
		return nil, err
	}
	s.list = slices.DeleteFunc(s.list, func(k *socket) bool { return !k.alive() && k.address == address })
	s.list = append(s.list, &socket{network: network, address: address, identity: identity, listener: ln, claimed: true})
	return ln, nil
}

func check(network, address string) error {
	if strings.ContainsFunc(address, unicode.IsControl) {
		return fmt.Errorf("listen %s %q: the address holds control characters", network, address)
	}
	switch network {
	case "tcp", "tcp4", "tcp6", NameNetwork:
		return nil
	case "unix":
		if !strings.HasPrefix(address, "@") && !filepath.IsAbs(address) {
			return fmt.Errorf("listen %s %q: the path is not absolute, and the working directory changes", network, address)
		}
		if len(address) > maxPath {
			return fmt.Errorf("listen %s %s: the path is longer than the %d bytes that a socket's can have", network, address, maxPath)
		}
		return nil
	}
	return fmt.Errorf("listen %s %s: the network is none of tcp, tcp4, tcp6, unix and %s", network, address, NameNetwork)
}

// unpack makes listeners of what the launcher has handed over.
func (s *Set) unpack() {
	for _, f := range s.handed {
		if k := parse(f.Name()); k != nil {
			s.add(k, f)
		}
		f.Close()
	}
	s.handed = nil
}

// pass takes what a service manager has passed.
func (s *Set) pass(p Passed) {
	if !listening(p.FD) {
		return
	}
	name := p.Name
	if strings.ContainsFunc(name, unicode.IsControl) {
		name = "unknown"
	}
	f := os.NewFile(uintptr(p.FD), name)
	s.add(&socket{name: name}, f)
	f.Close()
}

// add keeps a duplicate of the file, which is close-on-exec.
func (s *Set) add(k *socket, f *os.File) {
	ln, err := net.FileListener(f)
	if err != nil {
		return
	}
	var ok bool
	if k.listener, ok = ln.(listener); !ok {
		ln.Close()
		return
	}
	s.list = append(s.list, k)
}

// find looks for an open socket: one that was asked for in the same words, then
// one that is bound to the address. What nobody has claimed comes first, since
// several sockets may have one name.
func (s *Set) find(ctx context.Context, network, address string) *socket {
	for _, claimed := range []bool{false, true} {
		for _, k := range s.list {
			if k.claimed != claimed || !k.alive() {
				continue
			}
			if k.network == network && k.address == address || network == NameNetwork && k.name == address && k.name != "" {
				return k
			}
		}
	}
	if len(s.list) == 0 || network == NameNetwork {
		return nil
	}
	w := want{network: network, address: address}
	if network != "unix" && !w.resolve(ctx) {
		return nil // what is wrong with the address, opening it will tell
	}
	for _, k := range s.list {
		if k.alive() && w.is(k.listener.Addr()) {
			return k
		}
	}
	return nil
}

// alive: not closed by the program.
func (k *socket) alive() bool {
	c, err := k.listener.SyscallConn()
	return err == nil && c.Control(func(uintptr) {}) == nil
}

func (s *Set) names() string {
	var names []string
	for _, k := range s.list {
		if k.name != "" {
			names = append(names, k.name)
		}
	}
	if names == nil {
		return "none"
	}
	return strings.Join(names, ", ")
}

// want is an address that somebody wants to listen on.
type want struct {
	network, address string
	port             int
	ips              []netip.Addr // none: every address of the machine
}

func (w *want) resolve(ctx context.Context) bool {
	host, port, err := net.SplitHostPort(w.address)
	if err != nil {
		return false
	}
	w.port, err = net.DefaultResolver.LookupPort(ctx, w.network, port)
	if err != nil || w.port == 0 { // any free port is none that somebody has
		return false
	}
	if host != "" {
		w.ips, err = net.DefaultResolver.LookupNetIP(ctx, "ip"+strings.TrimPrefix(w.network, "tcp"), host)
	}
	return err == nil
}

// is reports whether a listener with this address is what is wanted.
func (w want) is(a net.Addr) bool {
	switch a := a.(type) {
	case *net.UnixAddr:
		return w.network == "unix" && a.Name == w.address
	case *net.TCPAddr:
		ip := a.AddrPort().Addr()
		if w.network == "unix" || a.Port != w.port || w.network == "tcp4" && !ip.Unmap().Is4() || w.network == "tcp6" && ip.Unmap().Is4() {
			return false
		}
		if len(w.ips) == 0 {
			return ip.IsUnspecified()
		}
		for _, want := range w.ips {
			if want.Unmap() == ip.Unmap() {
				return true
			}
		}
	}
	return false
}

// open makes a new socket. identity is that of the file, if there is one.
func open(ctx context.Context, network, address string, shared bool) (ln listener, identity string, err error) {
	l, identity, err := create(ctx, network, address, shared)
	if err != nil {
		return nil, "", err
	}
	switch l := l.(type) {
	case *net.TCPListener:
		return l, "", nil
	case *net.UnixListener:
		// The path is the daemon's, which may go on without this process.
		l.SetUnlinkOnClose(false)
		return l, identity, nil
	}
	l.Close()
	return nil, "", fmt.Errorf("listen %s %s: unexpected %T", network, address, l)
}

// Files are duplicates of the open sockets, under names that Hand understands. The
// caller closes them.
func (s *Set) Files() ([]*os.File, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var files []*os.File
	for _, k := range s.list {
		if !k.claimed && k.network == "" || !k.alive() {
			continue
		}
		f, err := duplicate(k)
		if err != nil {
			for _, f := range files {
				f.Close()
			}
			return nil, fmt.Errorf("hand over %s %s: %w", k.network, k.address, err)
		}
		files = append(files, f)
	}
	return files, nil
}

// CloseUnclaimed closes what nobody has asked for. It returns the names and
// addresses of those sockets on which a service manager goes on listening, so
// that its clients wait in vain.
func (s *Set) CloseUnclaimed() (left []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closeHanded()
	var claimed []*socket
	for _, k := range s.list {
		if k.claimed {
			claimed = append(claimed, k)
			continue
		}
		if k.network == "" {
			left = append(left, k.name+" ("+k.listener.Addr().String()+")")
		}
		k.close()
	}
	s.list = claimed
	return left
}

// End closes all sockets, and removes the files of those on which nobody listens
// any more. Nothing can be opened afterwards.
func (s *Set) End() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
	s.closeHanded()
	for _, k := range s.list {
		k.close()
	}
	s.list = nil
}

func (s *Set) closeHanded() {
	for _, f := range s.handed {
		f.Close()
		if k := parse(f.Name()); k != nil && k.identity != "" {
			removeDead(k.address, k.identity)
		}
	}
	s.handed = nil
}

func (k *socket) close() {
	k.listener.Close()
	if k.identity != "" {
		removeDead(k.address, k.identity)
	}
}

// String is the name under which a launcher hands the socket over.
func (k *socket) String() string {
	return strings.Join([]string{k.network, k.identity, k.name, k.address}, "\t")
}

func parse(name string) *socket {
	f := strings.Split(name, "\t")
	if len(f) != 4 {
		return nil
	}
	return &socket{network: f[0], identity: f[1], name: f[2], address: f[3]}
}
