// Package template puts a worker's number into texts.
package template

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Template is a text with places for a number. The zero Template is the empty text.
type Template []part

// part is plain text, or a place for the number.
type part struct {
	text   string
	number bool
	fill   rune
	align  byte
	width  int
}

// maxWidth keeps a slip of the finger from making a name of a megabyte.
const maxWidth = 20

// Parse reads {n}, and with a width {n:4}, {n:04}, {n:0>4}: a fill
// character, < > or ^ for the side, and the number of characters, as in Python.
// {{ and }} are braces. The error says what the text has or holds.
func Parse(s string) (Template, error) {
	var t Template
	var plain strings.Builder
	for s != "" {
		i := strings.IndexAny(s, "{}")
		if i < 0 {
			plain.WriteString(s)
			break
		}
		plain.WriteString(s[:i])
		brace := s[i]
		s = s[i+1:]
		if s != "" && s[0] == brace {
			plain.WriteByte(brace)
			s = s[1:]
			continue
		}
		if brace == '}' {
			return nil, errors.New("has a } without a {")
		}
		field, rest, ok := strings.Cut(s, "}")
		if !ok {
			return nil, errors.New("has a { without a }")
		}
		p, err := parseField(field)
		if err != nil {
			return nil, err
		}
		t = append(t, part{text: plain.String()}, p)
		plain.Reset()
		s = rest
	}
	return append(t, part{text: plain.String()}), nil
}

func parseField(field string) (part, error) {
	p := part{number: true, fill: ' ', align: '>'}
	name, spec, _ := strings.Cut(field, ":")
	if name != "n" {
		return p, fmt.Errorf("holds {%s}, where only {n} is known", field)
	}
	bad := fmt.Errorf("holds {%s}, of which the width makes no sense", field)
	fill, size := utf8.DecodeRuneInString(spec)
	switch {
	case size < len(spec) && size > 0 && strings.IndexByte("<>^", spec[size]) >= 0:
		p.fill, p.align, spec = fill, spec[size], spec[size+1:]
	case spec != "" && strings.IndexByte("<>^", spec[0]) >= 0:
		p.align, spec = spec[0], spec[1:]
	case strings.HasPrefix(spec, "0"):
		p.fill = '0'
	}
	spec = strings.TrimSuffix(spec, "d")
	if spec == "" {
		return p, nil
	}
	n, err := strconv.ParseUint(spec, 10, 8)
	if err != nil || n > maxWidth {
		return p, bad
	}
	p.width = int(n)
	return p, nil
}

// Expand puts the number in.
func (t Template) Expand(n int) string {
	var b strings.Builder
	for _, p := range t {
		if !p.number {
			b.WriteString(p.text)
			continue
		}
		digits := strconv.Itoa(n)
		space := max(p.width-len(digits), 0)
		left := 0
		switch p.align {
		case '>':
			left = space
		case '^':
			left = space / 2
		}
		fill := string(p.fill)
		b.WriteString(strings.Repeat(fill, left) + digits + strings.Repeat(fill, space-left))
	}
	return b.String()
}

// Plain is what is left without the number.
func (t Template) Plain() string {
	var b strings.Builder
	for _, p := range t {
		b.WriteString(p.text)
	}
	return b.String()
}
