package integration

import (
	"fmt"
	"os"
	"syscall"
	"testing"
)

// mountSmall mounts a file system of a few bytes for the test's time.
func mountSmall(t *testing.T, dir string, bytes int) error {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", bytes)); err != nil {
		return err
	}
	// Lazily: it runs after the processes are gone, but must not fail the test.
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	return nil
}
