package paths

import (
	"testing"

	"github.com/daemonocle/daemonocle/internal/testkit"
)

func TestLocksOf(t *testing.T) {
	for magic, want := range map[uint32]Locks{
		0xef53: LocksNamed, 0x58465342: LocksNamed, 0x9123683e: LocksNamed, 0xf2f52010: LocksNamed, 0x2fc12fc1: LocksNamed,
		0x01021994: LocksNamed, 0x794c7630: LocksNamed, 0xca451a4e: LocksNamed,
		0x6969: LocksRemote, 0xff534d42: LocksRemote, 0xfe534d42: LocksRemote, 0x517b: LocksRemote, 0x00c36400: LocksRemote,
		0x65735546: LocksUnknown, 0: LocksUnknown, 0x9fa0: LocksUnknown,
	} {
		if got := locksOf(magic); got != want {
			t.Errorf("%#x: got %d, want %d", magic, got, want)
		}
	}
	dir := testkit.TempDir(t)
	if got, want := LocksIn(dir+"/missing/too"), LocksIn(dir); got != want {
		t.Errorf("what is missing: got %d, want %d", got, want)
	}
}
