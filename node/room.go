package node

import (
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strconv"
	"strings"
	"syscall"

	"github.com/botnode/botnode/admin"
)

// memoryRoom bounds what a backup may unpack to: a small file can hold any number
// of bytes, and a node that runs out of memory over it is a node less. Its number is
// the memory of the machine, in bytes.
type memoryRoom uint64

const (
	// unpackedTimes is how often a state's bytes may be in a file: an event that waits
	// for its handler and is kept for clients is there twice, and once in memory.
	unpackedTimes = 2
	// fallbackMemory is taken for the memory of a machine that doesn't say.
	fallbackMemory = 16 << 30
)

// check refuses to go on with a file of which so much was unpacked, once it can't be
// the state of a node, or three quarters of the memory are in use. A state that is
// unpacked lies beside the node's own.
func (m memoryRoom) check(unpacked int64) error {
	if uint64(unpacked) > unpackedTimes*uint64(m) { //nolint:gosec // a count
		return m.refusal(unpacked)
	}
	most := uint64(m) / 4 * 3
	if heapBytes() <= most {
		return nil
	}
	runtime.GC() // what nobody needs any more counts, too
	if heapBytes() <= most {
		return nil
	}
	return m.refusal(unpacked)
}

func (m memoryRoom) refusal(unpacked int64) error {
	return admin.WithHint(fmt.Errorf("%w: the backup unpacks to more than this machine, with %d MiB of memory, can hold (%d MiB so far)", admin.ErrRefused, uint64(m)>>20, unpacked>>20),
		"if the file is known to be good, use a machine with more memory; where it comes from a stranger, don't")
}

// heapBytes returns how many bytes the process's objects have.
func heapBytes() uint64 {
	s := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(s)
	if s[0].Value.Kind() != metrics.KindUint64 {
		return 0
	}
	return s[0].Value.Uint64()
}

// machineMemory returns how much memory this process may have at most: the least of
// what the machine has, what its control groups are allowed, and GOMEMLIMIT.
func machineMemory() memoryRoom {
	least := uint64(math.MaxUint64)
	if b, err := os.ReadFile("/proc/meminfo"); err == nil {
		for line := range strings.Lines(string(b)) {
			var kib uint64
			if n, _ := fmt.Sscanf(line, "MemTotal: %d kB", &kib); n == 1 {
				least = min(least, kib<<10)
			}
		}
	}
	for _, file := range memoryLimits("/proc/self/cgroup", "/sys/fs/cgroup") {
		if b, err := os.ReadFile(file); err == nil { //nolint:gosec // the system's own
			if n, err := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 64); err == nil { // else it is "max"
				least = min(least, n)
			}
		}
	}
	if limit := debug.SetMemoryLimit(-1); limit > 0 && limit < math.MaxInt64 {
		least = min(least, uint64(limit))
	}
	if least == math.MaxUint64 {
		least = fallbackMemory
	}
	return memoryRoom(least)
}

// memoryLimits names the files with the limits of the process's control group and of
// those above it: of version 2 all, of version 1 the outermost that it sees.
func memoryLimits(own, root string) []string {
	files := []string{filepath.Join(root, "memory", "memory.limit_in_bytes")}
	b, _ := os.ReadFile(own) //nolint:gosec // the system's own; without it there is no more to see
	for line := range strings.Lines(string(b)) {
		group, ok := strings.CutPrefix(strings.TrimSpace(line), "0::")
		for ; ok; group = filepath.Dir(group) {
			files = append(files, filepath.Join(root, group, "memory.max"))
			if group == "/" || group == "." {
				break
			}
		}
	}
	return files
}

const (
	// diskReserve is what a file that comes from outside leaves free of the disk that
	// the node's log is on.
	diskReserve = 256 << 20
	// diskLook is how many bytes are written between two looks at what is free.
	diskLook = 16 << 20
)

// diskRoom writes to a file as long as the disk has room beside it.
type diskRoom struct {
	to   io.Writer
	free func() (bytes uint64, known bool)
	left int64 // that may be written before the next look
}

// Write implements io.Writer.
func (d *diskRoom) Write(b []byte) (int, error) {
	if d.left -= int64(len(b)); d.left < 0 {
		d.left = diskLook
		if free, known := d.free(); known && free < diskReserve+diskLook {
			return 0, admin.WithHint(fmt.Errorf("%w: the disk has only %d MiB free, which the node needs for its log", admin.ErrRefused, free>>20),
				"make room on the disk of --data-dir, or restore at another node")
		}
	}
	return d.to.Write(b)
}

// freeOf returns what is free of the disk that a folder is on.
func freeOf(dir string) (bytes uint64, known bool) {
	var fs syscall.Statfs_t
	if syscall.Statfs(dir, &fs) != nil {
		return 0, false
	}
	return fs.Bavail * uint64(fs.Bsize), true //nolint:gosec,unconvert // a disk's size; the types differ by system
}
