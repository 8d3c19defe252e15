// Package disklab is a disk that fails on command: it hangs, it errs, its power
// goes with all that was not synced, or it is full, while the process that writes
// to it knows of nothing.
//
// A disk is an ext4 file system in a sparse file, on a loop device. What fails it
// is the kernel: a frozen file system has every write wait, a shut down one has
// each call return EIO and forgets what had not reached the device, and a full
// one returns ENOSPC. A library between the process and its files can't do that:
// it would fail what the process does through it, and not the page cache, the
// journal and what the process maps.
//
// The package needs Linux, root, loop devices, and the commands mkfs.ext4 and
// mount. A process of its own takes the file systems away when the one that made
// them ends, however it ends.
package disklab
