// Package users looks users and groups up in the system's database: with cgo, and always on
// macOS, in all that the system is configured for; without cgo in /etc/passwd and /etc/group
// only. The types, also of the errors, are those of os/user.
package users
