package membership

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/botnode/botnode/internal/durable"
)

// directory is the place of an identity on disk, locked.
type directory struct {
	dir  string
	lock *os.File
}

func (d *directory) read() ([]byte, error) { return os.ReadFile(filepath.Join(d.dir, identityFile)) }

func (d *directory) write(b []byte) error { return durable.WriteFile(d.dir, identityFile, b) }

func (d *directory) close() error { return d.lock.Close() }

// lockDir takes the lock that keeps a second process out of the directory. The
// kernel drops it with the process, however that ends. The file holds the pid
// for the message alone.
func lockDir(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		defer f.Close()
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		if b, err := os.ReadFile(path); err == nil {
			if pid := strings.TrimSpace(string(b)); pid != "" {
				return nil, fmt.Errorf("%w (process %s)", ErrDirInUse, pid)
			}
		}
		return nil, ErrDirInUse
	}
	if err := f.Truncate(0); err == nil {
		_, _ = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	return f, nil
}
