// Package pyjson writes values as JSON, as Python's json module does.
package pyjson

import (
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Append adds a value on one line: sorted keys, ", " and ": " between things, only ASCII,
// floats with a point and at most three digits behind it. encoding/json has none of this.
// A value is a string, an int64, a float64, a bool, a []any, a map[string]string or a
// map[string]any of such; anything else is null.
func Append(b []byte, v any) []byte {
	switch v := v.(type) {
	case string:
		return appendString(b, v)
	case int64:
		return strconv.AppendInt(b, v, 10)
	case float64:
		return appendFloat(b, v)
	case bool:
		return strconv.AppendBool(b, v)
	case []any:
		b = append(b, '[')
		for i, e := range v {
			if i > 0 {
				b = append(b, ", "...)
			}
			b = Append(b, e)
		}
		return append(b, ']')
	case map[string]string:
		return appendObject(b, v)
	case map[string]any:
		return appendObject(b, v)
	}
	return append(b, "null"...)
}

func appendObject[V any](b []byte, m map[string]V) []byte {
	b = append(b, '{')
	for i, key := range slices.Sorted(maps.Keys(m)) {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = appendString(b, key)
		b = append(b, ": "...)
		b = Append(b, m[key])
	}
	return append(b, '}')
}

// appendIndented has a line for each thing in an object or array.
func appendIndented(b []byte, v any, indent string) []byte {
	deeper := indent + "  "
	switch v := v.(type) {
	case []any:
		if len(v) == 0 {
			break
		}
		b = append(b, '[')
		for i, e := range v {
			b = appendIndented(nextLine(b, i, deeper), e, deeper)
		}
		return append(append(append(b, '\n'), indent...), ']')
	case map[string]string:
		return appendIndentedObject(b, v, indent)
	case map[string]any:
		return appendIndentedObject(b, v, indent)
	}
	return Append(b, v)
}

func appendIndentedObject[V any](b []byte, m map[string]V, indent string) []byte {
	if len(m) == 0 {
		return append(b, "{}"...)
	}
	deeper := indent + "  "
	b = append(b, '{')
	for i, key := range slices.Sorted(maps.Keys(m)) {
		b = appendString(nextLine(b, i, deeper), key)
		b = append(b, ": "...)
		b = appendIndented(b, m[key], deeper)
	}
	return append(append(append(b, '\n'), indent...), '}')
}

// AppendArray adds an array of objects: one a line where all of them fit into the width, else
// indented.
func AppendArray(b []byte, objects []map[string]any, width int) []byte {
	fits := true
	lines := make([][]byte, len(objects))
	for i, m := range objects {
		lines[i] = Append(nil, m)
		fits = fits && len(lines[i])+3 <= width // two spaces before, a comma behind
	}
	b = append(b, "[\n"...)
	for i, m := range objects {
		b = append(b, "  "...)
		if fits {
			b = append(b, lines[i]...)
		} else {
			b = appendIndented(b, m, "  ")
		}
		if i < len(objects)-1 {
			b = append(b, ',')
		}
		b = append(b, '\n')
	}
	return append(b, "]\n"...)
}

func nextLine(b []byte, i int, indent string) []byte {
	if i > 0 {
		b = append(b, ',')
	}
	return append(append(b, '\n'), indent...)
}

// Plain makes any value one that Append knows; what JSON cannot say is nil. It goes no deeper
// than a tree of a sensible depth: a value may hold itself. name gives the key of a
// struct's field.
func Plain(v any, name func(field string) string) any { return plain(reflect.ValueOf(v), name, 32) }

func plain(v reflect.Value, name func(string) string, depth int) any {
	if !v.IsValid() || depth == 0 {
		return nil
	}
	if v.Type() == reflect.TypeFor[time.Duration]() {
		return time.Duration(v.Int()).Seconds()
	}
	switch v.Kind() {
	case reflect.String:
		return v.String()
	case reflect.Bool:
		return v.Bool()
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return v.Int()
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		if n := v.Uint(); n <= math.MaxInt64 {
			return int64(n)
		}
		return strconv.FormatUint(v.Uint(), 10)
	case reflect.Float32, reflect.Float64:
		return v.Float()
	case reflect.Pointer, reflect.Interface:
		return plain(v.Elem(), name, depth-1)
	case reflect.Slice, reflect.Array:
		list := []any{}
		for i := range v.Len() {
			list = append(list, plain(v.Index(i), name, depth-1))
		}
		return list
	case reflect.Map:
		m := map[string]any{}
		for _, key := range v.MapKeys() {
			if key.Kind() == reflect.String {
				m[key.String()] = plain(v.MapIndex(key), name, depth-1)
			}
		}
		return m
	case reflect.Struct:
		m := map[string]any{}
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() {
				m[name(f.Name)] = plain(v.Field(i), name, depth-1)
			}
		}
		return m
	}
	return nil
}

func appendFloat(b []byte, f float64) []byte {
	f = math.Round(f*1000) / 1000
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return append(b, "null"...)
	}
	s := strconv.FormatFloat(f, 'f', -1, 64)
	b = append(b, s...)
	if !strings.Contains(s, ".") {
		b = append(b, ".0"...)
	}
	return b
}

func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	for _, r := range s { // invalid UTF-8 becomes U+FFFD
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r == '\n':
			b = append(b, `\n`...)
		case r == '\r':
			b = append(b, `\r`...)
		case r == '\t':
			b = append(b, `\t`...)
		case r == '\b':
			b = append(b, `\b`...)
		case r == '\f':
			b = append(b, `\f`...)
		case r < 0x20 || r >= 0x7f && r <= 0xffff:
			b = appendEscape(b, uint16(r))
		case r > 0xffff:
			r -= 0x10000
			b = appendEscape(b, uint16(0xd800+(r>>10)))
			b = appendEscape(b, uint16(0xdc00+(r&0x3ff)))
		default:
			b = append(b, byte(r))
		}
	}
	return append(b, '"')
}

func appendEscape(b []byte, u uint16) []byte {
	const hex = "0123456789abcdef"
	return append(b, '\\', 'u', hex[u>>12], hex[u>>8&15], hex[u>>4&15], hex[u&15])
}
