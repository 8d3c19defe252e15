package disklab

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// The kernel's requests: linux/fs.h, and fs/ext4/ext4.h for the last one, which
// takes one of three ways to shut down.
const (
	fiFreeze     = 0xc0045877
	fiThaw       = 0xc0045878
	ext4Shutdown = 0x8004587d
	noLogFlush   = 2 // nothing more reaches the device
)

// Disk is a file system that fails. Its methods are for one goroutine.
type Disk struct {
	// Dir is where it is.
	Dir string

	image   string
	ballast string         // the file that fills it
	janitor *exec.Cmd      // takes the file system away if we can't
	leash   io.WriteCloser // ends the janitor
}

// New makes a file system of some bytes and mounts it on dir, which it creates.
// Its file is beside dir.
func New(dir string, size int64) (d *Disk, err error) {
	d = &Disk{Dir: dir, image: dir + ".img", ballast: filepath.Join(dir, ".ballast")}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(d.image, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(f.Truncate(max(size, least)), f.Close()); err != nil {
		return nil, err
	}
	if err := run("mkfs.ext4", "-q", "-E", "nodiscard", "-m", "0", d.image); err != nil {
		return nil, d.unavailable(err)
	}
	if err := d.mount(); err != nil {
		return nil, d.unavailable(err)
	}
	if err := d.guard(); err != nil {
		return nil, errors.Join(err, d.unmount(), os.Remove(d.image))
	}
	return d, nil
}

func (d *Disk) unavailable(err error) error {
	_ = os.Remove(d.image)
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}

func run(name string, args ...string) error {
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, strings.TrimSpace(string(out)))
	}
	return nil
}

func (d *Disk) mount() error { return run("mount", "-o", "loop", d.image, d.Dir) }

// guard starts a process that waits for our end, and then thaws and unmounts.
func (d *Disk) guard() (err error) {
	d.janitor = exec.Command("sh", "-c", `cat >/dev/null; fsfreeze -u "$0"; umount -l "$0"`, d.Dir)
	d.janitor.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // what is sent to our group isn't meant for it
	if d.leash, err = d.janitor.StdinPipe(); err != nil {
		return err
	}
	return d.janitor.Start()
}

// control makes one request to the file system. Its folder can be opened in any
// state but gone.
func (d *Disk) control(what string, request uint, argument int) error {
	f, err := os.Open(d.Dir)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	if err := unix.IoctlSetPointerInt(int(f.Fd()), request, argument); err != nil {
		return fmt.Errorf("disklab: %s: %w", what, err)
	}
	return nil
}

// Freeze has every write wait until Thaw. A process that waits can't be killed.
func (d *Disk) Freeze() error { return d.control("freeze", fiFreeze, 0) }

// Thaw ends Freeze.
func (d *Disk) Thaw() error { return d.control("thaw", fiThaw, 0) }

// Fail has every call return EIO from now on. What had not been synced is lost,
// as if the power had gone.
func (d *Disk) Fail() error { return d.control("shut down", ext4Shutdown, noLogFlush) }

// replugLimit is how long the last process may take to let go of its files.
const replugLimit = 10 * time.Second

// Replug has a disk that failed work again, with what had been synced. The
// processes that had files on it must have ended.
func (d *Disk) Replug() error {
	end := time.Now().Add(replugLimit)
	for {
		err := d.unmount()
		if err == nil {
			return d.mount()
		}
		if time.Now().After(end) {
			return err
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (d *Disk) unmount() error {
	if err := unix.Unmount(d.Dir, 0); err != nil {
		return fmt.Errorf("disklab: unmount: %w", err)
	}
	return nil
}

// Fill leaves no room.
func (d *Disk) Fill() error {
	f, err := os.OpenFile(d.ballast, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	var at int64
	for block := int64(64 << 20); block >= 512; {
		switch err := unix.Fallocate(int(f.Fd()), 0, at, block); {
		case err == nil:
			at += block
		case errors.Is(err, unix.ENOSPC):
			block /= 2
		case !errors.Is(err, unix.EINTR):
			return fmt.Errorf("disklab: fill: %w", err)
		}
	}
	return nil
}

// Free ends Fill.
func (d *Disk) Free() error { return os.Remove(d.ballast) }

// Close takes the file system and its file away. Files that are open on it stay
// readable to those who have them.
func (d *Disk) Close() error {
	_ = d.Thaw() // if it is frozen
	err := unix.Unmount(d.Dir, unix.MNT_DETACH)
	_ = d.leash.Close()
	_ = d.janitor.Wait() // it finds nothing to unmount, and says so by its exit code
	return errors.Join(err, os.Remove(d.image), os.Remove(d.Dir))
}
