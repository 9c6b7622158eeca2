//go:build unix

package pidfile

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/daemonocle/daemonocle/internal/fileid"
	"github.com/daemonocle/daemonocle/internal/paths"
	"github.com/daemonocle/daemonocle/internal/proc"
	"github.com/daemonocle/daemonocle/internal/retried"
	"github.com/daemonocle/daemonocle/internal/timing"
	"golang.org/x/sys/unix"
)

// Held is a PID file that this process holds. Its descriptors are plain
// numbers: an os.File would close, and so unlock, the file when it is garbage.
type Held struct {
	fd, dir int
	spare   int // open for writing as well, without a lock; -1: there is none. See Retire
	base    string
	path    string // as it was seen when the file was taken
	inode   fileid.ID
	waiting atomic.Bool // for a predecessor, which is the daemon still

	next struct { // byteNext is held for it
		sync.Mutex
		who coming
	}
}

// mine are the files that this process holds. Closing any descriptor of such a
// file would drop its POSIX lock (fcntl(2)), so they are never opened again.
var mine struct {
	sync.Mutex
	held map[fileid.ID]*Held
}

func isMine(i fileid.ID) bool { return heldAs(i) != nil }

func heldAs(i fileid.ID) *Held {
	mine.Lock()
	defer mine.Unlock()
	return mine.held[i]
}

func heldAt(path string) *Held {
	mine.Lock()
	defer mine.Unlock()
	for _, h := range mine.held {
		if h.path == path {
			return h
		}
	}
	return nil
}

func (h *Held) register() {
	mine.Lock()
	defer mine.Unlock()
	if mine.held == nil {
		mine.held = map[fileid.ID]*Held{}
	}
	mine.held[h.inode] = h
}

// lookHere is Look for one place.
func (f *File) lookHere(ctx context.Context) (*Report, error) {
	var r Report
	var sure bool
	err := patiently(ctx, &r, func(last bool) (done bool, err error) {
		var now *Report
		now, sure, err = f.look(last)
		r = *now
		return sure || err != nil, err
	})
	if err != nil {
		return &Report{UID: -1}, err
	}
	r.passing = false
	return &r, nil
}

// patiently calls try until it is done, with growing pauses: for timing.MomentPasses, or as
// long as r can be explained by a moment for timing.MomentLasts. Only the pauses count, for a
// process that the machine keeps waiting looks no less often than another. last: try is to
// decide what it can, and is not called again if it finds no moment.
func patiently(ctx context.Context, r *Report, try func(last bool) (done bool, err error)) error {
	var paused, since time.Duration // in all, and since the last decision
	end := time.Now().Add(timing.LooksEnd)
	for pause := time.Millisecond / 4; ; pause *= 2 {
		last := since+pause > timing.MomentPasses
		done, err := try(last)
		if done || err != nil {
			return err
		}
		if last {
			if !r.moment() || paused >= timing.MomentLasts || time.Now().After(end) {
				return nil
			}
			since, pause = 0, timing.MomentPasses/8
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(pause):
			since, paused = since+pause, paused+pause
		}
	}
}

// moment reports whether the state can be one that passes: somebody is about to write his
// number, to take the place of another, or to end.
func (r *Report) moment() bool {
	return r.passing || r.State == Running && r.PID == 0 && r.Number == 0
}

func (f *File) look(last bool) (r *Report, sure bool, err error) {
	r = &Report{UID: -1}
	dir, base, err := f.Dir()
	if errors.Is(err, fs.ErrNotExist) {
		if h := heldAt(f.String()); h != nil { // the root directory has changed
			return h.report(last)
		}
		return r, true, nil
	}
	if err != nil {
		return r, false, err
	}
	defer unix.Close(dir)

	var st unix.Stat_t
	err = retried.Fstatat(dir, base, &st, unix.AT_SYMLINK_NOFOLLOW)
	if errors.Is(err, unix.ENOENT) {
		return r, true, nil
	}
	if err != nil {
		return r, false, wrap("look at", f.Name, err)
	}
	if err := f.check(dir, &st); err != nil {
		return r, false, err
	}
	if h := heldAs(fileid.Of(&st)); h != nil {
		return h.report(last)
	}
	fd, err := open(dir, base, unix.O_RDONLY, 0)
	if errors.Is(err, unix.ENOENT) {
		return r, true, nil
	}
	if err != nil {
		return r, false, wrap("open", f.Name, err)
	}
	defer unix.Close(fd)
	if err := retried.Fstat(fd, &st); err != nil {
		return r, false, wrap("look at", f.Name, err)
	}
	if err := f.check(dir, &st); err != nil {
		return r, false, err
	}
	r, sure, err = f.read(fd, &st, last)
	return r, sure, wrap("test the lock of", f.Name, err)
}

// Pin keeps the file of a report open, so that no later file gets its inode's number,
// by which all generations of a daemon are known. It is false if that file is not there
// any more.
func (f *File) Pin(r *Report) (unpin func(), ok bool) {
	f = f.holding(r.Inode)
	dir, base, err := f.Dir()
	if err != nil {
		return func() {}, false
	}
	defer unix.Close(dir)
	var st unix.Stat_t
	if retried.Fstatat(dir, base, &st, unix.AT_SYMLINK_NOFOLLOW) != nil || isMine(fileid.Of(&st)) {
		return func() {}, false
	}
	fd, err := open(dir, base, unix.O_RDONLY, 0)
	if err != nil {
		return func() {}, false
	}
	if retried.Fstat(fd, &st) != nil || fileid.Of(&st).String() != r.Inode {
		unix.Close(fd)
		return func() {}, false
	}
	return func() { unix.Close(fd) }, true
}

// report is what Look says of a file that this process has open for itself.
func (h *Held) report(last bool) (r *Report, sure bool, err error) {
	if !h.waiting.Load() {
		return &Report{State: Running, PID: os.Getpid(), Number: os.Getpid(), UID: -1, Inode: h.inode.String()}, true, nil
	}
	var st unix.Stat_t
	if err := retried.Fstat(h.fd, &st); err != nil {
		return &Report{}, false, err
	}
	return (&File{}).read(h.fd, &st, last)
}

// read asks for the locks of an open file.
func (f *File) read(fd int, st *unix.Stat_t, last bool) (r *Report, sure bool, err error) {
	r = &Report{UID: -1, Inode: fileid.Of(st).String(), Stranger: marked(st)}
	who, err := asked(fd, byteWho)
	if err != nil {
		return r, false, err
	}
	running, err := asked(fd, byteRunning)
	if err != nil {
		return r, false, err
	}
	r.Number = number(fd)
	r.State, r.PID, r.Unproved, sure = readLocks(who, running)
	if r.State == Free && st.Size == 0 {
		sure = false // a start has created it and not locked it yet, or it is broken
	}
	if r.State == Running && r.PID > 0 && severed(r.PID, fileid.Of(st)) {
		r.PID, r.Unproved, r.Severed, sure = 0, true, true, false
	}
	if sure && r.PID > 0 && r.Number != r.PID && !callsItself(r.PID, r.Number) { // a successor writes its number after it has the lock
		sure = !nextSet(fd)
		r.Number = number(fd) // and lets go of byteNext after that
		r.passing = !sure
	}
	if !sure && last && r.Unproved {
		// The daemon's own code has closed a descriptor of this file, or somebody else has
		// a lock there.
		if who.held && who.pid > 0 && !r.Severed {
			r.Locker, r.UID = who.pid, uidOf(who.pid)
		}
		if !r.Severed && !f.Stranger && !r.Stranger && proved(r.Number, fileid.Of(st)) {
			r.PID, r.Unproved = r.Number, false
			r.Locker, r.UID = 0, -1
		} else if orphaned(fd, who, running, r.Number) {
			r.State, r.Unproved, r.Orphaned = Free, false, true
		}
	}
	if !sure && last {
		r.passing = r.passing || passes(fd, who, running, r)
	}
	if r.PID > 0 && r.State == Blocked {
		by := running
		if who.held {
			by = who
		}
		if by.nameless(fileid.Of(st)) {
			r.PID = 0
		} else {
			r.UID = uidOf(r.PID)
		}
	}
	return r, sure, nil
}

// passes reports whether what was seen can be the moment of somebody who ends, hands over, or
// is about to take the lock that names him: the locks or the number are others by now, a
// process that has none of the file's locks is there, as one is that ends, or there is to be a
// successor. What a process holds that is gone is no moment.
func passes(fd int, who, running lock, r *Report) bool {
	exists := func(pid int) bool {
		h, err := proc.Open(pid)
		if err == nil {
			h.Close()
		}
		return !errors.Is(err, proc.ErrGone)
	}
	lives := r.Severed && exists(who.pid) || r.Orphaned && exists(r.Number)
	nowWho, err := asked(fd, byteWho)
	nowRunning, other := asked(fd, byteRunning)
	return lives || err != nil || other != nil || nowWho != who || nowRunning != running || number(fd) != r.Number ||
		r.Unproved && !who.held && nextSet(fd)
}

// readLocks reads the two locks together. What is not sure may be a moment between
// two calls of somebody who starts, ends or cleans up.
func readLocks(who, running lock) (s State, pid int, unproved, sure bool) {
	switch {
	case who.write && who.pid >= 0 && running.daemon(who.pid):
		return Running, who.pid, false, true
	case !who.held && !running.held:
		return Free, 0, false, true
	case running.anonymous():
		// Held on behalf of a daemon, but nobody is named, or somebody who has
		// only a read lock on the other byte.
		return Running, 0, true, false
	case who.held:
		return Blocked, max(who.pid, 0), false, false
	}
	return Blocked, max(running.pid, 0), false, false
}

// mark lets a file tell whether its daemon changes its user, for those who ask and have
// not been told. The sticky bit means nothing else on a file, and only root can change it,
// whose file it is.
func (f *File) mark(fd int, st *unix.Stat_t, mode uint32) error {
	mode &= 0o7777 &^ unix.S_ISVTX
	if f.Stranger && os.Geteuid() == 0 {
		mode |= unix.S_ISVTX
	}
	if mode == uint32(st.Mode)&0o7777 || int(st.Uid) != os.Geteuid() {
		return nil
	}
	return retried.Fchmod(fd, mode)
}

// marked reports whether root must take a file for that of a daemon that has changed its
// user: it is so marked, or nothing that root has made.
func marked(st *unix.Stat_t) bool {
	return os.Geteuid() == 0 && (st.Uid != 0 || st.Mode&unix.S_ISVTX != 0)
}

// proved reports whether the number in the file is the daemon's: that process has the
// lock on byteRunning with a descriptor, and has our own user. Others could have been sent
// the descriptor. Root cannot know that the daemon has not changed its user, and asks for
// one that executes this very program as well, which takes no descriptors from anybody;
// who is not root may believe it of any process of root's, for the kernel refuses him.
func proved(number int, i fileid.ID) bool {
	h, err := proc.Open(number)
	if err != nil {
		return false
	}
	defer h.Close()
	ids, err := h.IDs()
	me := os.Geteuid()
	if err != nil || !shows(h) || !ids.Only(0) && !ids.Only(me) || me == 0 && !proc.SameImage(number) {
		return false
	}
	locked, _, _ := has(number, i)
	return locked && !h.Gone()
}

// dead reports whether the process of that number is not the daemon: there is none, or
// it has nothing of the file, as one that has got the number of a dead daemon. owner is
// the file's.
func dead(number int, i fileid.ID, owner int) bool {
	h, err := proc.Open(number)
	if err != nil {
		return errors.Is(err, proc.ErrGone)
	}
	defer h.Close()
	if _, known, any := has(number, i); known && shows(h) {
		return !any
	}
	// Who may not look can tell by the user: who was not root could become nobody else.
	ids, err := h.IDs()
	return err == nil && owner != 0 && owner == os.Geteuid() && !slices.Contains(ids.UID[:], owner)
}

// orphaned reports whether the lock on byteRunning is only what a dead daemon's
// children have inherited: those of a program that an exec worker became. Nobody
// is named, the process whose number stands in the file is gone, and it has not left a
// successor that is to come, nor one that has come since the locks were asked for: that
// one has taken byteWho and written its number before byteNext was let go of. Its number may
// have been read already, and say nothing here, as that of another PID namespace.
func orphaned(fd int, who, running lock, pid int) bool {
	var st unix.Stat_t
	return !who.held && running.anonymous() && pid > 0 && retried.Fstat(fd, &st) == nil &&
		dead(pid, fileid.Of(&st), int(st.Uid)) && !nextSet(fd) && number(fd) == pid && !named(fd)
}

// named reports whether somebody has byteWho by now.
func named(fd int) bool {
	who, err := asked(fd, byteWho)
	return err == nil && who.held
}

// lock is what F_GETLK says of one byte. The PID of an open-file-description
// lock is -1, of a process outside our PID namespace 0.
type lock struct {
	held, write bool
	pid         int
}

// check refuses what is no PID file or what a stranger has put there.
func (f *File) check(dir int, st *unix.Stat_t) error {
	refuse := func(why string) error {
		return &UntrustedError{Path: f.String(), Why: why, UID: -1}
	}
	other := func(why string) error {
		return &UntrustedError{Path: f.String(), Why: why, UID: -1, Kind: OtherType}
	}
	switch uint32(st.Mode) & unix.S_IFMT {
	case unix.S_IFREG:
	case unix.S_IFLNK:
		return refuse("is a symbolic link")
	case unix.S_IFDIR:
		return other("is a directory")
	case unix.S_IFIFO:
		return other("is a FIFO")
	default:
		return other("is not a regular file")
	}
	if st.Nlink > 1 {
		return refuse("has more than one hard link")
	}
	uid := int(st.Uid)
	if uid == 0 || uid == os.Geteuid() || slices.Contains(f.Trusted, uid) {
		return nil
	}
	var d unix.Stat_t
	if err := retried.Fstat(dir, &d); err == nil && int(d.Uid) == uid {
		return nil // the directory is that user's own
	}
	return &UntrustedError{Path: f.String(), Why: "belongs to user " + proc.Username(uid), UID: uid}
}

func open(dir int, base string, flags int, mode uint32) (int, error) {
	return retried.Openat(dir, base, flags|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_NOCTTY|unix.O_CLOEXEC, mode)
}

func number(fd int) int {
	var b [32]byte
	n, err := retried.Pread(fd, b[:], 0)
	if err != nil || n == len(b) {
		return 0
	}
	return parse(b[:n])
}

func uidOf(pid int) int {
	var st unix.Stat_t
	if retried.Stat("/proc/"+strconv.Itoa(pid), &st) != nil {
		return -1
	}
	return int(st.Uid)
}

// same reports whether the name still leads to the file.
func same(dir int, base string, i fileid.ID) bool {
	var st unix.Stat_t
	return retried.Fstatat(dir, base, &st, unix.AT_SYMLINK_NOFOLLOW) == nil && fileid.Of(&st) == i
}

// Remove unlinks a file that nobody holds, under its lock, and reports whether
// it did. A file in use is left alone, and so is one that we may not remove:
// a stale file blocks nothing.
func (f *File) Remove() (bool, error) {
	f = f.here()
	dir, base, err := f.Dir()
	if err != nil {
		return false, nil
	}
	defer unix.Close(dir)
	var st unix.Stat_t
	if err := retried.Fstatat(dir, base, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil || isMine(fileid.Of(&st)) {
		return false, nil
	}
	if err := f.check(dir, &st); err != nil {
		return false, err
	}
	fd, err := open(dir, base, unix.O_RDWR, 0)
	if errors.Is(err, unix.ENOENT) { // somebody was faster
		return false, nil
	}
	if err != nil {
		return false, wrap("open", f.Name, err)
	}
	defer unix.Close(fd)
	if retried.Fstat(fd, &st) != nil || !mayRemove(fd) || !same(dir, base, fileid.Of(&st)) {
		return false, nil
	}
	err = retried.Unlinkat(dir, base, 0)
	switch {
	case errors.Is(err, unix.ENOENT): // a start that has the other lock was faster
		return false, nil
	case err != nil:
		return false, wrap("remove", f.Name, err)
	}
	return true, nil
}

// mayRemove takes a lock that keeps starts away until fd is closed, if nobody
// holds the file, or only orphans do. Those have the lock on byteRunning; a start
// that has it and not yet the other one finds that the file is gone.
func mayRemove(fd int) bool {
	who, err := asked(fd, byteWho)
	if err != nil || who.held {
		return false
	}
	if set(fd, byteRunning) == nil {
		setNext(fd) // or a daemon would seem to run
		who, err := asked(fd, byteWho)
		return err == nil && !who.held
	}
	running, err := asked(fd, byteRunning)
	if err != nil || !orphaned(fd, who, running, number(fd)) {
		return false
	}
	setNext(fd) // or we would be taken for the daemon
	return setWho(fd) == nil
}

// Repair writes the number of the running daemon into a file that does not
// name it.
func (f *File) Repair(pid int) error {
	f = f.here()
	dir, base, err := f.Dir()
	if err != nil {
		return err
	}
	defer unix.Close(dir)
	fd, err := open(dir, base, unix.O_RDWR, 0)
	if err != nil {
		return wrap("open", f.Name, err)
	}
	defer unix.Close(fd)
	// The name may lead elsewhere since the look: to a hard link of root's file,
	// say, which the service's own user has put there and holds a read lock on.
	var st unix.Stat_t
	if err := retried.Fstat(fd, &st); err != nil {
		return wrap("look at", f.Name, err)
	}
	if err := f.check(dir, &st); err != nil {
		return err
	}
	who, err := asked(fd, byteWho)
	if err == nil && !(who.write && who.pid == pid) {
		err = errors.New("that process does not hold it")
	}
	if err != nil {
		return wrap("repair", f.Name, err)
	}
	return wrap("write", f.Name, write(fd, pid))
}

// write replaces the content without a moment in which the file is empty.
func write(fd, pid int) error {
	b := strconv.AppendInt(nil, int64(pid), 10)
	b = append(b, '\n')
	if _, err := retried.Pwrite(fd, b, 0); err != nil {
		return err
	}
	return retried.Ftruncate(fd, int64(len(b)))
}

// acquireHere is Acquire for one place.
func (f *File) acquireHere(ctx context.Context, owner paths.Owner, undo *paths.Undo) (h *Held, err error) {
	err = paths.Insist(func() error {
		h, err = f.acquireIn(ctx, owner, undo)
		return err
	})
	return h, err
}

// acquireIn is Acquire for as long as the directory stays.
func (f *File) acquireIn(ctx context.Context, owner paths.Owner, undo *paths.Undo) (*Held, error) {
	dir, base, err := f.MakeDir(owner, undo)
	if err != nil {
		return nil, err
	}
	// Whoever can rename the file can have a second daemon beside the first.
	if err := f.OwnedDir(dir, f.Trusted); err != nil {
		unix.Close(dir)
		return nil, err
	}
	var h *Held
	var report Report
	err = patiently(ctx, &report, func(last bool) (bool, error) {
		// A stale file is unlinked first, so the second try is the usual one.
		for range 3 {
			var err error
			if h, err = f.acquire(dir, base, nil); h != nil || err != nil {
				return true, err
			}
		}
		// Somebody is in the way, if only for a moment.
		now, sure, err := f.look(last)
		report = *now
		if report.Orphaned {
			if removed, _ := f.Remove(); removed {
				h, err = f.acquire(dir, base, nil)
			}
		}
		if report.State == Blocked && report.PID == 0 {
			report.passing = true // another start may be about to replace the file
		}
		busy := sure && report.State == Running
		if busy && proc.Ending(report.PID) {
			busy, report.passing = false, true
		}
		return h != nil || busy, err
	})
	if h == nil {
		unix.Close(dir)
		report.passing = false
		if err == nil {
			err = &BusyError{Path: f.String(), Report: &report}
		}
		return nil, err
	}
	h.register()
	return h, nil
}

// suffix is of the name under which a file is made that is to replace another.
const suffix = ".new"

// replaceFile takes a file from those who have read locks on it and whom nobody can name: with
// a new file in its place. Nobody who can only read a file has a write lock, as each who is the
// daemon, becomes it or removes the file has. Our own read lock lets nobody else have one either.
func (f *File) replaceFile(dir int, base string, fd int, old fileid.ID) (*Held, error) {
	if err := setRead(fd); err != nil {
		return nil, f.busyOr(err)
	}
	for range 2 { // one that a crash has left is unlinked first
		if h, err := f.acquire(dir, base, &old); h != nil || err != nil && !errors.Is(err, fs.ErrPermission) {
			return h, err
		}
	}
	return nil, nil
}

// nameless reports whether it is a read lock of which the kernel does not say who has it, or
// names one who does not have it, see severed.
func (l lock) nameless(i fileid.ID) bool {
	return l.held && !l.write && (l.pid <= 0 || lacks(l.pid, i, "READ"))
}

// acquire gives nil without an error if the file is locked or was exchanged
// meanwhile. Where old is given, the new file is one that nobody else can open until it has that
// one's place; its lock makes those who replace a file wait for each other.
func (f *File) acquire(dir int, base string, old *fileid.ID) (*Held, error) {
	target, mode := base, uint32(0o666)
	shown := f
	if old != nil {
		base, mode = base+suffix, 0o600
		shown = &File{Name: f.Name, Trusted: f.Trusted}
		shown.Path += suffix
	}
	fd, err := open(dir, base, unix.O_RDWR, 0)
	created := false
	if errors.Is(err, unix.ENOENT) {
		fd, err = open(dir, base, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL, mode)
		created = true
	}
	if errors.Is(err, unix.EEXIST) {
		return nil, nil
	}
	if err != nil {
		// What stands there may be of a kind that cannot be opened for
		// writing; say which.
		var st unix.Stat_t
		if retried.Fstatat(dir, base, &st, unix.AT_SYMLINK_NOFOLLOW) == nil {
			if err := shown.check(dir, &st); err != nil {
				return nil, err
			}
		}
		return nil, wrap("open", shown.Name, err)
	}
	var st unix.Stat_t
	if err := retried.Fstat(fd, &st); err != nil {
		unix.Close(fd)
		return nil, wrap("look at", shown.Name, err)
	}
	i := fileid.Of(&st)
	if isMine(i) {
		// Unreachable through Look; do not close: it would drop our lock.
		return nil, &UntrustedError{Path: shown.String(), Why: "is held by this very process", UID: -1}
	}
	giveUp := func(err error) (*Held, error) {
		if created && same(dir, base, i) {
			retried.Unlinkat(dir, base, 0)
		}
		unix.Close(fd)
		return nil, err
	}
	if st.Nlink == 0 {
		return giveUp(nil)
	}
	if err := shown.check(dir, &st); err != nil {
		return giveUp(err)
	}
	// locked is for a lock that cannot be had.
	locked := func(err error, at int64) (*Held, error) {
		if l, unknown := asked(fd, at); old == nil && unknown == nil && l.nameless(i) {
			created = false // whoever replaces it may be faster
			h, err := f.replaceFile(dir, base, fd, i)
			unix.Close(fd)
			return h, err
		}
		return giveUp(f.busyOr(err))
	}
	if err := set(fd, byteRunning); err != nil {
		created = false // its new owner's business
		return locked(err, byteRunning)
	}
	setNext(fd)
	if !same(dir, base, i) {
		return giveUp(nil)
	}
	if !created {
		// A stale file may have another owner and mode than ours would have,
		// or a stranger's read lock on it: make a new one if we may.
		if retried.Unlinkat(dir, base, 0) == nil {
			return giveUp(nil)
		}
	}
	if err := write(fd, os.Getpid()); err != nil {
		return giveUp(wrap("write", shown.Name, err))
	}
	if err := setWho(fd); err != nil {
		return locked(err, byteWho)
	}
	if len(f.Earlier) > 0 && !f.proves(fd) {
		return giveUp(errNamesNobody)
	}
	mode = uint32(st.Mode)
	if old != nil {
		if !same(dir, target, *old) {
			return giveUp(nil)
		}
		if err := retried.Renameat(dir, base, dir, target); err != nil {
			return giveUp(wrap("replace", f.Name, err))
		}
		base, mode = target, 0o666&^uint32(f.Umask)
	}
	if err := f.mark(fd, &st, mode); err != nil {
		return giveUp(wrap("set the mode of", f.Name, err))
	}
	if !same(dir, base, i) { // taken for an orphan's and removed
		return giveUp(nil)
	}
	clearNext(fd)
	h := &Held{fd: fd, dir: dir, spare: -1, base: base, path: f.String(), inode: i}
	if f.Stranger {
		h.spare = again(dir, base, i, unix.O_RDWR)
	}
	return h, nil
}

// again opens a file once more, -1 if that is not what the name leads to. A descriptor
// that it gives back unused is not of the file, or to close it would drop our lock.
func again(dir int, base string, i fileid.ID, flags int) int {
	fd, err := open(dir, base, flags, 0)
	if err != nil {
		return -1
	}
	var st unix.Stat_t
	if retried.Fstat(fd, &st) != nil || fileid.Of(&st) != i {
		unix.Close(fd)
		return -1
	}
	return fd
}

func (f *File) busyOr(err error) error {
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
		return nil
	}
	if len(f.Earlier) > 0 && noLocks(err) {
		return errNamesNobody
	}
	return wrap("lock", f.Name, err)
}

// Remove unlinks the file if it is this process's and its name still leads to it; the
// locks stay until the process ends or Release. It works in a chroot.
func (h *Held) Remove() error {
	if h.waiting.Load() || !same(h.dir, h.base, h.inode) {
		return nil
	}
	return retried.Unlinkat(h.dir, h.base, 0)
}

// outOfTheWay is a descriptor number that no shell script uses: what a script
// puts in the place of the locked descriptor ends the lock. It is below tableSize, for so
// many a process has a table; to make a larger one, Linux waits in a process with
// threads until no CPU can use the old one, which takes 10 ms and more.
const (
	outOfTheWay = 58
	tableSize   = 64
)

// Inherit makes the locks last over an exec of this process: they are then the
// new program's, and the descriptor with them. It is for the moment before.
func (h *Held) Inherit() error {
	mine.Lock()
	defer mine.Unlock()
	setNext(h.fd)
	fd, err := unix.FcntlInt(uintptr(h.fd), unix.F_DUPFD, outOfTheWay)
	if err == nil {
		unix.Close(h.fd) // which drops the lock on byteWho; the other one goes along
		h.fd = fd
	} else { // so few descriptors are allowed
		_, err = unix.FcntlInt(uintptr(h.fd), unix.F_SETFD, 0)
	}
	h.dropSpare() // or exec would, and the lock with it
	err = errors.Join(err, setWho(h.fd))
	clearNext(h.fd)
	return err
}

// Release gives the locks up, for a process that goes on.
func (h *Held) Release() {
	mine.Lock()
	defer mine.Unlock()
	h.drop()
}

// drop closes all. mine is locked.
func (h *Held) drop() {
	delete(mine.held, h.inode)
	unix.Close(h.fd)
	h.dropSpare()
	unix.Close(h.dir)
}

func (h *Held) dropSpare() {
	if h.spare >= 0 {
		unix.Close(h.spare)
		h.spare = -1
	}
}
