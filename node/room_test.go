package node_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/s2"

	"github.com/botnode/botnode/admin"
	"github.com/botnode/botnode/internal/backupfile"
	"github.com/botnode/botnode/node"
)

// bomb makes of a backup one that is sound as a file and goes on without end where a
// key of the store is: the item comes again and again, some bytes for 256 KiB each.
func bomb(t *testing.T, file []byte, key string, times int) []byte {
	t.Helper()
	const magic = len("BNSNAP\x00") + 1
	r, err := backupfile.NewReader(bytes.NewReader(file), nil)
	must(t, err)
	var payload, stream, out bytes.Buffer
	_, err = payload.ReadFrom(r)
	must(t, err)
	_, err = stream.ReadFrom(s2.NewReader(bytes.NewReader(payload.Bytes()[magic:])))
	must(t, err)
	at := bytes.Index(stream.Bytes(), []byte("\x07default"+string(rune(len(key)))+key)) - 3
	n, of := binary.Uvarint(stream.Bytes()[at:])
	if of != 3 {
		t.Fatalf("the item of %s isn't where it is looked for", key)
	}
	item := stream.Bytes()[at : at+of+int(n)]
	packed := bytes.NewBuffer(slices.Clone(payload.Bytes()[:magic]))
	w := s2.NewWriter(packed, s2.WriterConcurrency(1))
	_, err = w.Write(stream.Bytes()[:at])
	must(t, err)
	must(t, w.Flush())
	before := packed.Len()
	_, err = w.Write(item)
	must(t, err)
	must(t, w.Flush())
	again := bytes.Repeat(packed.Bytes()[before:], times-1)
	to, err := backupfile.NewWriter(&out, r.Header, backupfile.Seal{})
	must(t, err)
	_, err = to.Write(append(packed.Bytes(), again...))
	must(t, err)
	must(t, to.Close())
	return out.Bytes()
}

// TestBombIsRefused: a file of a megabyte that unpacks to many gigabytes takes a node
// neither its memory nor its time; what it refuses changes nothing.
func TestBombIsRefused(t *testing.T) {
	l, ctx := cluster(t, "joe")
	must(t, l.PutKV(ctx, "bomb", bytes.Repeat([]byte("x"), 256<<10)))
	file := save(t, ctx, l.Node("joe"))
	bad := bomb(t, file, "bomb", 64<<10)
	t.Logf("%d KiB that unpack to 16 GiB", len(bad)>>10)

	defer debug.SetMemoryLimit(debug.SetMemoryLimit(256 << 20)) // as GOMEMLIMIT does
	begun := time.Now()
	_, err := l.Node("joe").RestoreSnapshot(ctx, bytes.NewReader(bad), admin.RestoreOptions{})
	if !errors.Is(err, admin.ErrRefused) || !strings.Contains(err.Error(), "256 MiB of memory") || admin.Hint(err) == "" {
		t.Errorf("%v (%s)", err, admin.Hint(err))
	}
	t.Logf("refused after %v: %v", time.Since(begun).Round(time.Millisecond), err)
	if _, err := node.ReadBackup(bytes.NewReader(bad), nil); !errors.Is(err, admin.ErrRefused) {
		t.Errorf("inspected: %v", err)
	}
	if got := value(t, l, "bomb"); len(got) != 256<<10 {
		t.Errorf("%d bytes are left", len(got))
	}
	_, err = l.Node("joe").RestoreSnapshot(ctx, bytes.NewReader(file), admin.RestoreOptions{})
	must(t, err)
}

// TestRoomInMemory: what counts is what is in use, and what was unpacked.
func TestRoomInMemory(t *testing.T) {
	const gib = 1 << 30
	if m := node.MachineMemory(); m < gib/4 || node.MemoryRoom(m, 1) != nil {
		t.Errorf("a machine of %d bytes has no room for one", m)
	}
	if err := node.MemoryRoom(1000*gib, 2001*gib); !errors.Is(err, admin.ErrRefused) {
		t.Errorf("unpacked more than twice what there is: %v", err)
	}
	hold := make([]byte, 8<<20)
	if err := node.MemoryRoom(8<<20, 1); !errors.Is(err, admin.ErrRefused) {
		t.Errorf("with %d bytes in use: %v", len(hold), err)
	}
	runtime.KeepAlive(hold)
	groups := filepath.Join(t.TempDir(), "cgroup")
	must(t, os.WriteFile(groups, []byte("4:memory:/old\n0::/a.slice/b.scope\n"), 0o600))
	want := []string{"/r/memory/memory.limit_in_bytes", "/r/a.slice/b.scope/memory.max", "/r/a.slice/memory.max", "/r/memory.max"}
	if got := node.MemoryLimits(groups, "/r"); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

// TestRoomOnTheDisk: a body without end stops before the disk is full that the log is on.
func TestRoomOnTheDisk(t *testing.T) {
	free := uint64(1 << 30)
	n, err := node.FillDisk(func(b int) (uint64, bool) { free -= uint64(b); return free, true })
	if !errors.Is(err, admin.ErrRefused) || free < 256<<20 || free > 400<<20 || n == 0 {
		t.Errorf("%v with %d MiB free after %d", err, free>>20, n)
	}
	if _, err := node.FillDisk(func(int) (uint64, bool) { return 0, false }); err != nil {
		t.Errorf("a disk that doesn't say what is free: %v", err)
	}
}
