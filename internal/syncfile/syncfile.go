// Package syncfile replaces files so that a crash leaves the old or the new one.
package syncfile

import (
	"errors"
	"os"
	"path/filepath"
)

// Write replaces dir/name so that after a crash it is the old or the new one,
// whole, and after a return without error the new one. The file's mode is 0600.
func Write(dir, name string, b []byte) error {
	tmp, err := os.CreateTemp(dir, name+".*.tmp")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name()) // fails after the rename, as it should
	_, err = tmp.Write(b)
	if err == nil {
		err = tmp.Sync()
	}
	if err := errors.Join(err, tmp.Close()); err != nil {
		return err
	}
	if err := os.Rename(tmp.Name(), filepath.Join(dir, name)); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
