package durable

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestChecked(t *testing.T) {
	dir := t.TempDir()
	if _, err := ReadChecked(dir, "x"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("nothing there: %v", err)
	}
	for _, text := range []string{`{"term":7}`, "", "another"} {
		if err := WriteChecked(dir, "x", []byte(text)); err != nil {
			t.Fatal(err)
		}
		if got, err := ReadChecked(dir, "x"); err != nil || string(got) != text {
			t.Errorf("%q, %v", got, err)
		}
	}
	path := filepath.Join(dir, "x")
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range good {
		bad := append([]byte(nil), good...)
		bad[i] ^= 4
		for _, b := range [][]byte{bad, good[:i]} {
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
			if got, err := ReadChecked(dir, "x"); !errors.Is(err, ErrDamaged) {
				t.Errorf("byte %d: %q, %v", i, got, err)
			}
		}
	}
	if err := WriteChecked(dir, "x", []byte("a\nb")); err == nil {
		t.Error("two lines were taken")
	}
	if err := Remove(dir, "x"); err != nil {
		t.Error(err)
	}
	if err := Remove(dir, "x"); err != nil {
		t.Error(err)
	}
	if all, err := os.ReadDir(dir); err != nil || len(all) > 0 {
		t.Errorf("left: %v, %v", all, err)
	}
}
