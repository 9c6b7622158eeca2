//go:build (!cgo && !darwin) || android || osusergo

package privs

import (
	"os"
	"os/user"
	"strings"
)

const passwdFile = "/etc/passwd"

// listed distrusts os/user, which in a build without cgo answers from $USER and
// $HOME when our own uid has no entry: with USER=www-data in the environment of
// root in an image without /etc/passwd, "www-data" would be uid 0, and the
// switch to him would be none.
func listed(u *user.User, err error) (*user.User, error) {
	if err != nil {
		return nil, err
	}
	data, err := os.ReadFile(passwdFile)
	if err != nil {
		return nil, err
	}
	if !inPasswd(data, u.Username, u.Uid) {
		return nil, user.UnknownUserError(u.Username)
	}
	return u, nil
}

func inPasswd(data []byte, name, uid string) bool {
	for line := range strings.Lines(string(data)) {
		f := strings.Split(strings.TrimSpace(line), ":")
		if len(f) >= 4 && f[0] == name && f[2] == uid {
			return true
		}
	}
	return false
}
