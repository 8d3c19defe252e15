package disklab

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

func newDisk(t *testing.T) *Disk {
	t.Helper()
	d, err := New(filepath.Join(t.TempDir(), "disk"), 64<<20)
	if errors.Is(err, ErrUnavailable) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(d.Dir); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("its folder is still there: %v", err)
		}
	})
	return d
}

// TestFailLosesWhatWasNotSynced: a disk that fails returns EIO, and has what was
// synced once it works again.
func TestFailLosesWhatWasNotSynced(t *testing.T) {
	d := newDisk(t)
	path := func(name string) string { return filepath.Join(d.Dir, name) }
	synced, err := os.Create(path("synced"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := synced.WriteString("kept"); err != nil {
		t.Fatal(err)
	}
	if err := synced.Sync(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path("unsynced"), []byte("lost"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := d.Fail(); err != nil {
		t.Fatal(err)
	}
	if _, err := synced.WriteString("more"); !errors.Is(err, syscall.EIO) {
		t.Errorf("a write to a disk that failed: %v", err)
	}
	if err := synced.Sync(); !errors.Is(err, syscall.EIO) {
		t.Errorf("a sync of a disk that failed: %v", err)
	}
	_ = synced.Close()
	if err := d.Replug(); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(path("synced")); err != nil || string(b) != "kept" {
		t.Errorf("what was synced is %q, %v", b, err)
	}
	if b, err := os.ReadFile(path("unsynced")); err == nil && len(b) > 0 {
		t.Errorf("what was not synced is %q", b)
	}
}

// TestFreezeHasWritesWait: a write that began while the disk hung ends once it
// doesn't.
func TestFreezeHasWritesWait(t *testing.T) {
	d := newDisk(t)
	if err := d.Freeze(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- os.WriteFile(filepath.Join(d.Dir, "file"), []byte("x"), 0o600) }()
	select {
	case err := <-done:
		t.Errorf("a write to a disk that hangs has ended: %v", err)
		done <- err
	case <-time.After(100 * time.Millisecond):
	}
	if err := d.Thaw(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestFill: there is no room until Free.
func TestFill(t *testing.T) {
	d := newDisk(t)
	if err := d.Fill(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(d.Dir, "file")
	if err := os.WriteFile(path, make([]byte, 64<<10), 0o600); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("a write to a full disk: %v", err)
	}
	if err := d.Free(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, make([]byte, 64<<10), 0o600); err != nil {
		t.Error(err)
	}
}
