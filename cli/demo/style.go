package demo

import (
	"strings"
	"unicode/utf8"
)

// palette colours text, or leaves it alone when false.
type palette bool

func (p palette) paint(code, s string) string {
	if !p || s == "" {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

func (p palette) bold(s string) string   { return p.paint("1", s) }
func (p palette) dim(s string) string    { return p.paint("2", s) }
func (p palette) red(s string) string    { return p.paint("1;31", s) }
func (p palette) green(s string) string  { return p.paint("32", s) }
func (p palette) yellow(s string) string { return p.paint("33", s) }
func (p palette) cyan(s string) string   { return p.paint("36", s) }

// pad fills s with blanks up to n columns. It is for text without colours.
func pad(s string, n int) string {
	return s + strings.Repeat(" ", max(0, n-utf8.RuneCountInString(s)))
}

// padLeft fills s with blanks on its left.
func padLeft(s string, n int) string {
	return strings.Repeat(" ", max(0, n-utf8.RuneCountInString(s))) + s
}

// clip cuts s after n visible columns, however it is coloured, so that a line
// of the live area never wraps on a narrow terminal.
func clip(s string, n int) string {
	columns, escape := 0, false
	for i, r := range s {
		switch {
		case r == '\x1b':
			escape = true
		case escape:
			escape = r != 'm'
		case columns == n:
			if strings.Contains(s, "\x1b") {
				return s[:i] + "\x1b[0m"
			}
			return s[:i]
		default:
			columns++
		}
	}
	return s
}
