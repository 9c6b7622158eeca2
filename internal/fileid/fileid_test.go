//go:build unix

package fileid

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/daemonocle/daemonocle/internal/testkit"
)

func TestID(t *testing.T) {
	dir := testkit.TempDir(t)
	one, two := filepath.Join(dir, "one"), filepath.Join(dir, "two")
	ids := map[string]ID{}
	for _, path := range []string{one, two} {
		f, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		open, err := OfFD(int(f.Fd()))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path, path+".moved"); err != nil {
			t.Fatal(err)
		}
		named, err := OfPath(path + ".moved")
		if err != nil || named != open {
			t.Errorf("by its name it is %v, open it is %v; %v", named, open, err)
		}
		ids[path] = open
	}
	if ids[one] == ids[two] || ids[one].String() == ids[two].String() {
		t.Errorf("both files are %v", ids[one])
	}
	if _, err := OfPath(one); err == nil {
		t.Error("a file that is not there has an ID")
	}
	if _, err := OfFD(-1); err == nil {
		t.Error("no descriptor has an ID")
	}
	if got := (ID{255, 4096}).String(); got != "ff:1000" {
		t.Errorf("got %s", got)
	}
}
