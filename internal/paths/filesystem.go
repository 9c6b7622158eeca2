package paths

// Locks is what is known of the record locks of a file system.
type Locks int

const (
	LocksUnknown Locks = iota // to be tried
	LocksNamed                // the kernel names their holder
	LocksRemote               // the holder may be a process of another machine
)
