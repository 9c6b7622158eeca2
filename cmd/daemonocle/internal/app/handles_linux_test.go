package app

import (
	"fmt"
	"syscall"
	"testing"
)

func TestCaught(t *testing.T) {
	const hup, term = 1 << (syscall.SIGHUP - 1), 1 << (syscall.SIGTERM - 1)
	for _, c := range []struct {
		status string
		want   bool
	}{
		{fmt.Sprintf("Name:\tx\nSigIgn:\t%016x\nSigCgt:\t%016x\n", hup, term), false},
		{fmt.Sprintf("Name:\tx\nSigIgn:\t%016x\nSigCgt:\t%016x\n", term, hup), true},
		{fmt.Sprintf("SigCgt:\t%016x", hup|term), true},
		{"SigCgt:\t\n", true},
		{"SigCgt:\tnot a number\n", true},
		{"Name:\tSigCgt:\n", true},
		{"", true},
	} {
		if got := caught(c.status, syscall.SIGHUP); got != c.want {
			t.Errorf("%q: %v, want %v", c.status, got, c.want)
		}
	}
}

// FuzzCaught: any text has an answer, and without the field it is yes.
func FuzzCaught(f *testing.F) {
	f.Add("Name:\tx\nSigCgt:\t0000000000000001\n", 1)
	f.Add("SigCgt:\tffffffffffffffff", 64)
	f.Add("SigCgt:", 0)
	f.Fuzz(func(t *testing.T, status string, sig int) {
		if sig < 1 || sig > 64 {
			return
		}
		if !caught(fmt.Sprintf("SigCgt:\t%016x\n%s", uint64(1)<<(sig-1), status), syscall.Signal(sig)) {
			t.Errorf("signal %d in the mask was not found", sig)
		}
		if caught(fmt.Sprintf("SigCgt:\t%016x\n%s", ^(uint64(1)<<(sig-1)), status), syscall.Signal(sig)) {
			t.Errorf("signal %d was found in a mask without it", sig)
		}
	})
}
