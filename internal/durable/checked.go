package durable

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/zeebo/xxh3"
)

// ErrDamaged means that a file isn't what was written.
var ErrDamaged = errors.New("its checksum is wrong")

// WriteChecked is WriteFile of a payload without line ends and, on a line of its
// own, its checksum.
func WriteChecked(dir, name string, payload []byte) error {
	if bytes.IndexByte(payload, '\n') >= 0 {
		return fmt.Errorf("%s: a payload of several lines", name)
	}
	b := append(bytes.Clone(payload), '\n')
	b = append(b, sum(payload)...)
	return WriteFile(dir, name, append(b, '\n'))
}

// ReadChecked returns the payload that WriteChecked wrote. It returns
// os.ErrNotExist where there is no such file.
func ReadChecked(dir, name string) ([]byte, error) {
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return nil, err
	}
	payload, rest, _ := bytes.Cut(b, []byte("\n"))
	if string(rest) != sum(payload)+"\n" {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, name), ErrDamaged)
	}
	return payload, nil
}

func sum(payload []byte) string {
	s := xxh3.Hash128(payload).Bytes()
	return hex.EncodeToString(s[:])
}
