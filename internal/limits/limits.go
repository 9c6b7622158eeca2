// Package limits says how much this process may use: its resource limits (setrlimit(2)) and
// its niceness.
package limits
