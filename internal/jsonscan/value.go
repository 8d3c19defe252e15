package jsonscan

import (
	"bytes"
	"math"
	"unicode/utf16"
	"unicode/utf8"
)

// ID returns the snowflake in `"123"` or `123`, or 0 if there is none. Numbers
// that don't fit 64 bits are none.
func ID(val []byte) uint64 {
	if len(val) >= 2 && val[0] == '"' && val[len(val)-1] == '"' {
		val = val[1 : len(val)-1]
	}
	n, ok := digits(val)
	if !ok {
		return 0
	}
	return n
}

// digits reads a non-empty run of decimal digits that fits 64 bits.
func digits(b []byte) (uint64, bool) {
	if len(b) == 0 || len(b) > 20 {
		return 0, false
	}
	var n uint64
	for _, c := range b {
		d := uint64(c - '0')
		if d > 9 || n > math.MaxUint64/10 || n*10 > math.MaxUint64-d {
			return 0, false
		}
		n = n*10 + d
	}
	return n, true
}

// Int returns the integer in val. Fractions, exponents and numbers that don't
// fit are not integers.
func Int(val []byte) (int64, bool) {
	neg := len(val) > 0 && val[0] == '-'
	if neg {
		val = val[1:]
	}
	n, ok := digits(val)
	switch {
	case !ok || len(val) > 1 && val[0] == '0':
		return 0, false
	case neg && n <= 1<<63:
		return -int64(n), true
	case !neg && n <= math.MaxInt64:
		return int64(n), true
	}
	return 0, false
}

// Bool returns the boolean in val.
func Bool(val []byte) (value, ok bool) {
	switch string(val) {
	case "true":
		return true, true
	case "false":
		return false, true
	}
	return false, false
}

// IsNull reports whether val is null. An absent value (nil) is not null: in
// Discord's partial objects the two mean different things.
func IsNull(val []byte) bool { return string(val) == "null" }

// String returns the string in val, or "" if val isn't one. Bytes that are not
// UTF-8 pass unchanged.
func String(val []byte) string {
	if len(val) < 2 || val[0] != '"' || val[len(val)-1] != '"' {
		return ""
	}
	s, ok := unescaped(val[1 : len(val)-1])
	if !ok {
		return ""
	}
	return string(s)
}

// unescaped returns the content of a string: raw itself if it holds no escape.
func unescaped(raw []byte) ([]byte, bool) {
	i := bytes.IndexByte(raw, '\\')
	if i < 0 {
		return raw, true
	}
	out := append(make([]byte, 0, len(raw)), raw[:i]...)
	for i < len(raw) {
		if raw[i] != '\\' {
			out = append(out, raw[i])
			i++
			continue
		}
		n := 0
		if out, n = escape(out, raw[i:]); n == 0 {
			return nil, false
		}
		i += n
	}
	return out, true
}

// escape appends what the escape at the start of b stands for and returns its
// length, or 0 if it isn't one.
func escape(out, b []byte) ([]byte, int) {
	if len(b) < 2 {
		return out, 0
	}
	switch c := b[1]; c {
	case '"', '\\', '/':
		return append(out, c), 2
	case 'b':
		return append(out, '\b'), 2
	case 'f':
		return append(out, '\f'), 2
	case 'n':
		return append(out, '\n'), 2
	case 'r':
		return append(out, '\r'), 2
	case 't':
		return append(out, '\t'), 2
	case 'u':
		return unicodeEscape(out, b)
	}
	return out, 0
}

// unicodeEscape handles \uXXXX and pairs of surrogates; a lone surrogate reads
// as U+FFFD, as in encoding/json.
func unicodeEscape(out, b []byte) ([]byte, int) {
	r, ok := hex4(b)
	if !ok {
		return out, 0
	}
	if !utf16.IsSurrogate(r) {
		return utf8.AppendRune(out, r), 6
	}
	if low, ok := hex4(b[6:]); ok {
		if pair := utf16.DecodeRune(r, low); pair != utf8.RuneError {
			return utf8.AppendRune(out, pair), 12
		}
	}
	return utf8.AppendRune(out, utf8.RuneError), 6
}

// hex4 reads the \uXXXX at the start of b.
func hex4(b []byte) (rune, bool) {
	if len(b) < 6 || b[0] != '\\' || b[1] != 'u' {
		return 0, false
	}
	var r rune
	for _, c := range b[2:6] {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c|0x20 && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}
