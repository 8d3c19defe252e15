// Package durable changes files of a directory so that a crash leaves the old
// or the new, whole. It refuses to report success before the disk has it.
package durable

import (
	"errors"
	"os"
	"path/filepath"
)

// WriteFile replaces dir/name. After a crash it is the old or the new one, and
// after a return without an error the new one.
func WriteFile(dir, name string, b []byte) error {
	return Create(dir, name+".*.tmp", func(f *os.File) (string, error) {
		_, err := f.Write(b)
		return name, err
	})
}

// Create makes, or replaces, a file of dir whose content write gives, and whose
// name may follow from it. Until write has returned without an error, and the disk
// has all of it, the file has a name of its own by pattern (see os.CreateTemp), and
// it goes if that never comes.
func Create(dir, pattern string, write func(f *os.File) (name string, err error)) error {
	tmp, err := os.CreateTemp(dir, pattern)
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name()) // fails after the rename, as it should
	name, err := write(tmp)
	if err == nil {
		err = tmp.Sync()
	}
	if err := errors.Join(err, tmp.Close()); err != nil {
		return err
	}
	return Rename(tmp.Name(), filepath.Join(dir, name))
}

// Rename moves a file, whose content is on disk already, to a name in a
// directory.
func Rename(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	return Sync(filepath.Dir(to))
}

// Remove removes dir/name, if it is there.
func Remove(dir, name string) error {
	if err := os.Remove(filepath.Join(dir, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return Sync(dir)
}

// Sync makes what a directory lists durable.
func Sync(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
