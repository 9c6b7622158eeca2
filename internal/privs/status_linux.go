package privs

import (
	"bytes"
	"errors"
	"slices"
	"strconv"
	"strings"
)

// status is what a thread is, from its /proc status file: real, effective,
// saved and file system ids, supplementary groups, capability sets.
type status struct {
	uid, gid                      [4]int
	groups                        []int
	permitted, effective, ambient uint64
}

// parseStatus reads a status file. A line that is missing, doubled or not
// understood is an error, for a proof cannot be made of it; only CapAmb is
// younger (Linux 4.3) than what we can run on.
func parseStatus(data []byte) (status, error) {
	var st status
	seen := map[string]bool{}
	for line := range bytes.Lines(data) {
		k, v, _ := bytes.Cut(line, []byte(":"))
		key, values := string(k), strings.Fields(string(v))
		var err error
		switch key {
		case "Uid":
			err = parseFour(&st.uid, values)
		case "Gid":
			err = parseFour(&st.gid, values)
		case "Groups":
			st.groups, err = parseIDs(values)
		case "CapPrm":
			st.permitted, err = parseCaps(values)
		case "CapEff":
			st.effective, err = parseCaps(values)
		case "CapAmb":
			st.ambient, err = parseCaps(values)
		default:
			continue
		}
		if err == nil && seen[key] {
			err = errors.New("is there twice")
		}
		if err != nil {
			return status{}, errorf("line %q: %w", key, err)
		}
		seen[key] = true
	}
	for _, key := range []string{"Uid", "Gid", "Groups", "CapPrm", "CapEff"} {
		if !seen[key] {
			return status{}, errorf("line %q is missing", key)
		}
	}
	return st, nil
}

func parseIDs(values []string) ([]int, error) {
	ids := make([]int, 0, len(values))
	for _, v := range values {
		// 4294967295 can be here: an id that has no name in our user namespace.
		n, err := strconv.ParseUint(v, 10, 32)
		if err != nil {
			return nil, err
		}
		ids = append(ids, int(n))
	}
	return ids, nil
}

func parseFour(to *[4]int, values []string) error {
	ids, err := parseIDs(values)
	if err == nil && len(ids) != len(to) {
		err = errorf("has %d ids", len(ids))
	}
	if err == nil {
		copy(to[:], ids)
	}
	return err
}

func parseCaps(values []string) (uint64, error) {
	if len(values) != 1 {
		return 0, errorf("has %d values", len(values))
	}
	return strconv.ParseUint(values[0], 16, 64)
}

const capSetgid, capSetuid = 6, 7 // capabilities(7)

// check compares what a thread is with what it has to be.
func (st status) check(want credentials, cameFromRoot bool) error {
	uid := []int{want.uid[0], want.uid[1], want.uid[2], want.uid[1]}
	gid := []int{want.gid[0], want.gid[1], want.gid[2], want.gid[1]}
	switch {
	case !slices.Equal(st.uid[:], uid):
		return errorf("uids are %s, not %s", list(st.uid[:]), list(uid))
	case !slices.Equal(st.gid[:], gid):
		return errorf("gids are %s, not %s", list(st.gid[:]), list(gid))
	case !sameGroups(st.groups, want.groups, want.gid[1]):
		return errorf("groups are %q, not %q", list(st.groups), list(want.groups))
	case want.root():
		return nil
	}
	caps := st.permitted | st.effective | st.ambient
	if caps != 0 && cameFromRoot {
		return errorf("capabilities %#x are left", caps)
	}
	// An ordinary user may have been given capabilities on purpose, to bind a
	// port for example. With these two he could still become anybody.
	if caps&(1<<capSetuid|1<<capSetgid) != 0 {
		return errorf("capabilities %#x allow to become somebody else", caps)
	}
	return nil
}
