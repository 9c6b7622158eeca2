// Package timing has every limit that is nobody's setting, with its reason, on one page. A
// limit here is for something that takes a few system calls, so that only a process that is
// stopped, or means ill, ever comes near it.
package timing

import "time"

// A start, as its launcher sees it.
const (
	// StageReports: a start that has run out of time waits so long until the process of which
	// it speaks is known, and others find it by its PID file. It may not have reached Start.
	StageReports = 5 * time.Second
	// ClaimArrives: a start that is given up waits so long for the claim of a process that may
	// already have made it, before it kills that.
	ClaimArrives = 100 * time.Millisecond
	// LauncherListens: a daemon that becomes another program waits so long until its launcher
	// hears Ctrl-C. That may be stopped.
	LauncherListens = 5 * time.Second
	// FailureEnds: a daemon that has said why it cannot start may take so long to end.
	FailureEnds = 5 * time.Second
	// LastWords: a process that ends for a reason waits so long for a launcher that is
	// stopped, and does not hear it.
	LastWords = 5 * time.Second
)

// A worker that is another program.
const (
	// ProbeBefore: a probe may take so long to fail before the start. Where nobody listens it
	// fails at once, but a busy machine can keep us from asking.
	ProbeBefore = 5 * time.Second
	// ProbeAnswers: one try of a probe may take so long.
	ProbeAnswers = time.Second
	// LivesOnAfterReady: a program must live on so long when it seems to be ready and has not
	// said so to us.
	LivesOnAfterReady = 100 * time.Millisecond
	// LeftEnds: what a failed start has left may take so long to end by itself.
	LeftEnds = 2 * time.Second
)

// A stop.
const (
	// KillShows: SIGKILL may take so long to show.
	KillShows = 5 * time.Second
	// ErrandTakes: the child that signals a process with another user's rights may take
	// so long. That user can stop it.
	ErrandTakes = 5 * time.Second
	// ProcessPolls: how often a process is looked at of which the kernel does not report the
	// end.
	ProcessPolls = 50 * time.Millisecond
)

// The PID file.
const (
	// MomentPasses: a state that can only be a moment of somebody's start or clean-up is
	// given so long to pass.
	MomentPasses = 100 * time.Millisecond
	// MomentLasts is the same where it is known for whom it is a moment: one who is about to
	// write his number or to take another's place, or who ends. A busy machine may keep him
	// from it for long.
	MomentLasts = 2 * time.Second
	// LooksEnd: looks that take long, because somebody makes it so, end after this.
	LooksEnd = 10 * time.Second
	// ListTakes: reading of a process's descriptors whether one of them has the lock may take so
	// long. That process may have any number of them.
	ListTakes = 2 * time.Second
	// LookTakes: a look that may be in vain: a line in a log, or news that comes another way.
	LookTakes = 50 * time.Millisecond
)

// A reload.
const (
	// ControlOpens: a daemon that has just become one may take so long until it listens, and
	// one that is about to hand over until the other does.
	ControlOpens = 5 * time.Second
	// NameTaken: how often a daemon whose control socket's name another process has looks whether it is
	// free. It is less than ControlOpens, so that who asks need not ask twice.
	NameTaken = 2 * time.Second
	// AskerSpeaks: an asker may take so long to say what he wants.
	AskerSpeaks = 5 * time.Second
	// SwapTakes: a process that is ready may take so long for a few system calls.
	SwapTakes = 10 * time.Second
	// LockComes: the lock of a dead process may take so long to be ours.
	LockComes = 200 * time.Millisecond
	// ImageBusy: a file that is to be executed may be open for writing so long: whoever
	// installs it is about to close it.
	ImageBusy = time.Second
)

// A service manager.
const (
	// ManagerAnswers: it may take so long to say what it runs. A busy one answers late, and
	// to act without the answer is to act against it.
	ManagerAnswers = 5 * time.Second
	// ManagerHears is for one that is busy: its queue has room for few messages.
	ManagerHears = 5 * time.Second
)

// What a worker is given. It may use it up before it is ready, so that its start is over while it
// waits: of these limits each must be far shorter than StartWindow, or a start says OK for a
// daemon that is about to fail.
const (
	// StartWindow is the default of the setting of that name.
	StartWindow = time.Second
	// SocketLocked: nobody who means well holds the lock of a Unix socket's path for longer than
	// a few system calls take.
	SocketLocked = 200 * time.Millisecond
)

// Log files.
const (
	// BurstEnds: nothing must have come for so long for the heads of log files to begin anew.
	BurstEnds = time.Second
	// LogsPoll: how often log files are looked at: they need not be on a file system that can
	// tell of changes.
	LogsPoll = 100 * time.Millisecond
)
