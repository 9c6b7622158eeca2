package daemonocle

import (
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// appendJSON writes the values of a Status as Python's json module does, with
// sorted keys: ", " and ": " between things, only ASCII, floats with a point.
// encoding/json has none of this.
func appendJSON(b []byte, v any) []byte {
	switch v := v.(type) {
	case string:
		return appendJSONString(b, v)
	case int64:
		return strconv.AppendInt(b, v, 10)
	case float64:
		return appendJSONFloat(b, v)
	case bool:
		return strconv.AppendBool(b, v)
	case []any:
		b = append(b, '[')
		for i, e := range v {
			if i > 0 {
				b = append(b, ", "...)
			}
			b = appendJSON(b, e)
		}
		return append(b, ']')
	case map[string]string:
		return appendJSONObject(b, v)
	case map[string]any:
		return appendJSONObject(b, v)
	}
	return append(b, "null"...)
}

func appendJSONObject[V any](b []byte, m map[string]V) []byte {
	b = append(b, '{')
	for i, key := range slices.Sorted(maps.Keys(m)) {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = appendJSONString(b, key)
		b = append(b, ": "...)
		b = appendJSON(b, m[key])
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
	return appendJSON(b, v)
}

func appendIndentedObject[V any](b []byte, m map[string]V, indent string) []byte {
	if len(m) == 0 {
		return append(b, "{}"...)
	}
	deeper := indent + "  "
	b = append(b, '{')
	for i, key := range slices.Sorted(maps.Keys(m)) {
		b = appendJSONString(nextLine(b, i, deeper), key)
		b = append(b, ": "...)
		b = appendIndented(b, m[key], deeper)
	}
	return append(append(append(b, '\n'), indent...), '}')
}

func nextLine(b []byte, i int, indent string) []byte {
	if i > 0 {
		b = append(b, ',')
	}
	return append(append(b, '\n'), indent...)
}

// plainValue makes a value of a program's own one that appendJSON knows; what it cannot
// say is nil. It goes no deeper than a tree of a sensible depth: a value may hold itself.
func plainValue(v reflect.Value) any { return plainWithin(v, 32) }

func plainWithin(v reflect.Value, depth int) any {
	if !v.IsValid() || depth == 0 {
		return nil
	}
	if v.Type() == durationType {
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
		return plainWithin(v.Elem(), depth-1)
	case reflect.Slice, reflect.Array:
		list := []any{}
		for i := range v.Len() {
			list = append(list, plainWithin(v.Index(i), depth-1))
		}
		return list
	case reflect.Map:
		m := map[string]any{}
		for _, key := range v.MapKeys() {
			if key.Kind() == reflect.String {
				m[key.String()] = plainWithin(v.MapIndex(key), depth-1)
			}
		}
		return m
	case reflect.Struct:
		m := map[string]any{}
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() {
				m[strings.ReplaceAll(kebab(f.Name), "-", "_")] = plainWithin(v.Field(i), depth-1)
			}
		}
		return m
	}
	return nil
}

func appendJSONFloat(b []byte, f float64) []byte {
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

func appendJSONString(b []byte, s string) []byte {
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
