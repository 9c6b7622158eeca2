//go:build (!cgo && !darwin) || android || osusergo

package privs

import "testing"

func TestInPasswd(t *testing.T) {
	const passwd = "# users\nroot:x:0:0:root:/root:/bin/sh\n\n www-data:x:33:33::/:/bin/false\nbroken:x:7\n"
	tests := []struct {
		name, uid string
		want      bool
	}{
		{"root", "0", true},
		{"www-data", "33", true},
		{"www-data", "0", false},
		{"www", "33", false},
		{"", "", false},
		{"broken", "7", false},
	}
	for _, tt := range tests {
		if got := inPasswd([]byte(passwd), tt.name, tt.uid); got != tt.want {
			t.Errorf("%q %q: got %v, want %v", tt.name, tt.uid, got, tt.want)
		}
	}
}
