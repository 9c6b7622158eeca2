package sdnotify

import (
	"os"
	"sync"
	"time"
)

// managed is what NOTIFY_SOCKET has named.
var managed struct {
	once     sync.Once
	conn     *Conn
	watchdog time.Duration
}

// Manager is the service manager that wants to hear of this process, and within which time,
// nil if there is none. take gives what the environment says of it. It is asked once in a
// process: later lives use the same connection, whose socket may be out of reach by then.
// Only the first caller is told that there is no connection.
func Manager(take func() (socket string, watchdog time.Duration)) (*Conn, time.Duration, error) {
	var err error
	managed.once.Do(func() {
		if os.Getenv("NOTIFY_SOCKET") == "" {
			return
		}
		socket, watchdog := take()
		var conn *Conn
		if conn, err = Dial(socket); err == nil {
			managed.conn, managed.watchdog = conn, watchdog
		}
	})
	return managed.conn, managed.watchdog, err
}
