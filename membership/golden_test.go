package membership

import (
	"testing"

	"github.com/botnode/botnode/internal/golden"
)

// TestGoldenFormats: what nodes gossip about themselves, and what says whose a
// data directory is.
func TestGoldenFormats(t *testing.T) {
	var l golden.Lines
	meta, err := Meta{
		ID: "joe", Incarnation: 1 << 50, ClusterAddr: "10.0.0.1:7101", HTTPAddr: "10.0.0.1:7201", Version: "v1",
		Rules: 2, Weight: 3, Flags: Draining, Tags: map[string]string{"zone": "a"},
	}.encode()
	if err != nil {
		t.Fatal(err)
	}
	l.Add("meta", meta)
	for name, change := range map[string]func(*Identity) error{
		"pristine": func(*Identity) error { return nil },
		"joining":  func(i *Identity) error { return i.MarkJoining("h:1") },
		"member":   func(i *Identity) error { return i.Adopt("c1") },
		"diverged": func(i *Identity) error { return i.MarkDiverged("at 7") },
	} {
		m := new(Memory)
		i, err := OpenMemory(m, "joe")
		if err == nil {
			err = change(i)
		}
		if err != nil {
			t.Fatal(err)
		}
		golden.Check(t, "identity-"+name+".json", string(m.rec))
	}
	golden.Check(t, "meta.txt", l.String())
}
