package daemonocle

import "testing"

func TestKeysOfAResult(t *testing.T) {
	for field, want := range map[string]string{"Name": "name", "MaxAge": "max_age", "URL": "url", "HTTPPort": "http_port"} {
		if got := jsonKey(field); got != want {
			t.Errorf("%s: got %s, want %s", field, got, want)
		}
	}
}
