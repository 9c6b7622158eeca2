// Package fileid tells files from each other, whatever their names.
package fileid

import "strconv"

// ID is a file's, as long as somebody has it open: later its inode can be another's.
type ID struct{ Dev, Ino uint64 }

// String is for the wire, and for comparing.
func (id ID) String() string {
	return strconv.FormatUint(id.Dev, 16) + ":" + strconv.FormatUint(id.Ino, 16)
}
