package daemonocle

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestJSONArrays(t *testing.T) {
	objects := []map[string]any{
		{"name": "a", "pid": int64(1), "uids": []any{int64(0), int64(1)}, "environ": map[string]string{"A": "b"}},
		{"name": "b", "none": []any{}, "empty": map[string]string{}},
	}
	const narrow = `[
  {
    "environ": {
      "A": "b"
    },
    "name": "a",
    "pid": 1,
    "uids": [
      0,
      1
    ]
  },
  {
    "empty": {},
    "name": "b",
    "none": []
  }
]
`
	const wide = `[
  {"environ": {"A": "b"}, "name": "a", "pid": 1, "uids": [0, 1]},
  {"empty": {}, "name": "b", "none": []}
]
`
	// Two spaces before the longer object, and a comma behind it.
	longest := len(strings.Split(wide, "\n")[1])
	for width, want := range map[int]string{longest - 1: narrow, longest: wide} {
		got := string(appendJSONArray(nil, objects, width))
		if got != want {
			t.Errorf("%d columns: got\n%swant\n%s", width, got, want)
		}
		if !json.Valid([]byte(got)) {
			t.Errorf("%d columns: this is no JSON", width)
		}
	}
}
