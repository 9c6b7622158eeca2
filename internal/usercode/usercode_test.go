package usercode

import (
	"errors"
	"runtime"
	"testing"
)

func TestCall(t *testing.T) {
	banana := errors.New("banana")
	for want, f := range map[string]func() error{
		"":                 func() error { return nil },
		"banana":           func() error { return banana },
		"hook panicked: 3": func() error { panic(3) },
		"hook panicked: runtime.Goexit was called": func() error { runtime.Goexit(); return nil },
	} {
		err := Call("hook", f)
		if want == "" {
			if err != nil {
				t.Errorf("got %v", err)
			}
			continue
		}
		if err == nil || err.Error() != want || errors.Is(err, banana) != (want == "banana") {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}
