package app

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// text is any bytes but zero, as the arguments, variables and paths of Unix are. In JSON
// it is a string if it is UTF-8, and else an object with its base64: encoding/json would
// put U+FFFD in the place of what is not UTF-8, and the program would get that.
type text string

// words are a list of such.
type words []string

type base64Text struct {
	Base64 *[]byte `json:"base64"`
}

func (t text) MarshalJSON() ([]byte, error) {
	if utf8.ValidString(string(t)) {
		return json.Marshal(string(t))
	}
	b := []byte(t)
	return json.Marshal(base64Text{&b})
}

func (t *text) UnmarshalJSON(b []byte) error {
	if len(b) == 0 || b[0] != '{' {
		var s string
		err := json.Unmarshal(b, &s)
		*t = text(s)
		return errors.Join(err, t.check())
	}
	var o base64Text
	if err := strict(b, &o); err != nil {
		return err
	}
	if o.Base64 == nil {
		return errors.New(`an object has no "base64"`)
	}
	*t = text(*o.Base64)
	return t.check()
}

func (t text) check() error {
	if strings.ContainsRune(string(t), 0) {
		return errors.New("a text holds a zero byte")
	}
	return nil
}

func (w words) MarshalJSON() ([]byte, error) {
	list := make([]text, len(w))
	for i, s := range w {
		list[i] = text(s)
	}
	return json.Marshal(list)
}

func (w *words) UnmarshalJSON(b []byte) error {
	var list []text
	if err := json.Unmarshal(b, &list); err != nil {
		return err
	}
	*w = nil
	for _, t := range list {
		*w = append(*w, string(t))
	}
	return nil
}

// quote makes a word of a shell's command line. What a terminal would not show as it is
// has the form $'...', which POSIX has since 2024, and bash, zsh, ksh and busybox before.
func quote(word string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_-./:=,+@%", r)
	}
	if word != "" && strings.IndexFunc(word, func(r rune) bool { return !plain(r) }) < 0 {
		return word
	}
	if isPrintable(word) {
		return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
	}
	var b strings.Builder
	b.WriteString("$'")
	for len(word) > 0 {
		r, size := utf8.DecodeRuneInString(word)
		switch {
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\'' || r == '\\':
			b.WriteString(`\` + string(r))
		case r == utf8.RuneError && size == 1 || !unicode.IsGraphic(r):
			for _, c := range []byte(word[:size]) {
				fmt.Fprintf(&b, `\%03o`, c)
			}
		default:
			b.WriteString(word[:size])
		}
		word = word[size:]
	}
	b.WriteString("'")
	return b.String()
}

func isPrintable(s string) bool {
	return utf8.ValidString(s) && strings.IndexFunc(s, func(r rune) bool { return !unicode.IsGraphic(r) }) < 0
}

// printable is a path as it is, unless a terminal could not show it.
func printable(path string) string {
	if isPrintable(path) {
		return path
	}
	return quote(path)
}
