// Package golden holds formats to the bytes that they had: those on disks, and
// those between nodes of different versions. `go test PACKAGE -update` rewrites
// the files, which is right for a format that nobody has on a disk yet, and for
// no other.
package golden

import (
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// Check compares got with a file of testdata/golden, or rewrites it.
func Check(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", "golden", name)
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil { //nolint:gosec // test data
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != got {
		t.Errorf("%s: the bytes changed. Disks and nodes of other versions have the old ones: a change is a new version of the format, beside the old one\nwant %s\ngot  %s", path, want, got)
	}
}

// Lines collects named bytes for Check, one a line.
type Lines struct{ b strings.Builder }

// Add appends a line.
func (l *Lines) Add(name string, bytes []byte) {
	fmt.Fprintf(&l.b, "%s %s\n", name, hex.EncodeToString(bytes))
}

// String returns what was added.
func (l *Lines) String() string { return l.b.String() }
