//go:build dragonfly || netbsd || openbsd

package proc

func kinfos(string, int) ([]kinfo, error) { return nil, errNoKinfo }
func used(int, bool) (reading, error)     { return reading{}, errNoKinfo }
func totalMemory() (uint64, error)        { return 0, errNoKinfo }
