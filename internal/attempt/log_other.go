//go:build !unix

package attempt

const nonblock = 0 // what it is for is refused before
