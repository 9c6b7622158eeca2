package console

import (
	"strconv"
	"time"
)

// Uptime is rounded to minutes: 0m, 2h 47m, 1d 3h 47m.
func Uptime(d time.Duration) string {
	m := int64((max(d, 0) + 30*time.Second) / time.Minute)
	s := strconv.FormatInt(m%60, 10) + "m"
	if h := m / 60; h > 0 {
		s = strconv.FormatInt(h%24, 10) + "h " + s
		if days := h / 24; days > 0 {
			s = strconv.FormatInt(days, 10) + "d " + s
		}
	}
	return s
}
