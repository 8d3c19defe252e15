package jsonscan

import "errors"

var (
	// ErrSyntax means that the walked level isn't the JSON that was asked for.
	ErrSyntax = errors.New("jsonscan: syntax error")
	// ErrTruncated means that the input ends inside a value.
	ErrTruncated = errors.New("jsonscan: truncated")
	// ErrTooDeep means that values nest deeper than the caller allows.
	ErrTooDeep = errors.New("jsonscan: nested too deep")
)

// Classes of bytes that end a run while a composite value is skipped.
const (
	plain = iota
	quote
	open
	shut
)

// class is a constant table; nothing writes to it.
var class = [256]uint8{'"': quote, '{': open, '[': open, '}': shut, ']': shut}

// scalar holds the bytes that numbers and literals are made of.
var scalar = func() (t [256]bool) {
	for _, c := range "0123456789+-.abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ" {
		t[c] = true
	}
	return t
}()

// space returns the index of the first byte at or after i that isn't white space.
func space(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\t' || b[i] == '\r') {
		i++
	}
	return i
}

// stringEnd returns the index after the quote that closes the string whose
// content starts at i, or -1. Each byte is looked at a bounded number of times:
// a run of backslashes is counted only from the last quote on.
func stringEnd(b []byte, i int) int {
	for {
		end := quoteIndex(b, i)
		if end < 0 {
			return -1
		}
		p := end - 1
		for p >= i && b[p] == '\\' {
			p--
		}
		if (end-1-p)%2 == 0 {
			return end + 1
		}
		i = end + 1
	}
}

// nestedEnd returns the index after the composite value that opens at i, or -1.
// It balances brackets without telling {} from []: that is validation's task.
func nestedEnd(b []byte, i int) int {
	depth := 0
	for i < len(b) {
		switch class[b[i]] {
		case plain:
			i++
		case quote:
			if i = stringEnd(b, i+1); i < 0 {
				return -1
			}
		case open:
			depth++
			i++
		default:
			i++
			if depth--; depth == 0 {
				return i
			}
		}
	}
	return -1
}

// valueEnd returns the index after the value that starts at i.
func valueEnd(b []byte, i int) (int, error) {
	if i >= len(b) {
		return 0, ErrTruncated
	}
	switch class[b[i]] {
	case quote:
		if i = stringEnd(b, i+1); i < 0 {
			return 0, ErrTruncated
		}
		return i, nil
	case open:
		if i = nestedEnd(b, i); i < 0 {
			return 0, ErrTruncated
		}
		return i, nil
	}
	start := i
	for i < len(b) && scalar[b[i]] {
		i++
	}
	if i == start {
		return 0, ErrSyntax
	}
	return i, nil
}

// Depth returns ErrTooDeep if b nests more than limit levels, ErrTruncated if its
// brackets or quotes aren't closed, and ErrSyntax if more close than were opened.
func Depth(b []byte, limit int) error {
	depth := 0
	for i := 0; i < len(b); {
		switch class[b[i]] {
		case plain:
			i++
			continue
		case quote:
			if i = stringEnd(b, i+1); i < 0 {
				return ErrTruncated
			}
			continue
		case open:
			if depth++; depth > limit {
				return ErrTooDeep
			}
		default:
			if depth--; depth < 0 {
				return ErrSyntax
			}
		}
		i++
	}
	if depth > 0 {
		return ErrTruncated
	}
	return nil
}
