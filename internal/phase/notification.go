package phase

// Notification is what was last said of a daemon to those who wait for it, by who keeps it.
type Notification uint8

// The states of a notification.
const (
	_          Notification = iota
	Unsaid                  // it comes up
	SaidUp                  // it is ready, or counts as started
	SaidReload              // it is being reloaded
	SaidEnd                 // it ends

	notifications
)

// NotificationEvent is something that a daemon is said to have become.
type NotificationEvent uint8

// The events of a notification. Which process says so may not be the daemon's own.
const (
	IsUp        NotificationEvent = iota
	IsReloading                   // it begins to be reloaded
	IsEnding

	notificationEvents
)

// NotificationStep is what an event leads to.
type NotificationStep struct {
	To  Notification
	Say bool // it is news, and passed on
}

// The rules of a notification. After the end nothing is said, and a reload is one of a daemon that is up.
var notification = [notifications][notificationEvents]NotificationStep{
	Unsaid:     {IsUp: {SaidUp, true}, IsReloading: {Unsaid, false}, IsEnding: {SaidEnd, true}},
	SaidUp:     {IsUp: {SaidUp, false}, IsReloading: {SaidReload, true}, IsEnding: {SaidEnd, true}},
	SaidReload: {IsUp: {SaidUp, true}, IsReloading: {SaidReload, false}, IsEnding: {SaidEnd, true}},
	SaidEnd:    {IsUp: {SaidEnd, false}, IsReloading: {SaidEnd, false}, IsEnding: {SaidEnd, false}},
}

// Next is the step that follows from the event.
func (n Notification) Next(e NotificationEvent) NotificationStep { return notification[n][e] }
