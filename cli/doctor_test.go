package cli

import (
	"strings"
	"testing"
	"time"

	"github.com/botnode/botnode/admin"
)

func TestDoctorJudges(t *testing.T) {
	now := time.Now()
	well := func() []admin.Examination {
		var out []admin.Examination
		for _, id := range []string{"a", "b", "c"} {
			e := admin.Examination{ID: id, SyncMS: 1.5, FreeBytes: 50 << 30, FreePercent: 40, CertificateEnds: now.Add(80 * 24 * time.Hour), ClockWithinMS: 1}
			for _, other := range []string{"a", "b", "c"} {
				if other != id {
					e.Linked, e.Gossips = append(e.Linked, other), append(e.Gossips, other)
				}
			}
			out = append(out, e)
		}
		return out
	}
	for what, c := range map[string]struct {
		change func([]admin.Examination)
		want   string // "" for no finding
	}{
		"all is well":                  {func([]admin.Examination) {}, ""},
		"a clock":                      {func(n []admin.Examination) { n[1].ClockAheadMS = -4000 }, "clocks are 4.0 s apart"},
		"a clock within reason":        {func(n []admin.Examination) { n[1].ClockAheadMS, n[1].ClockWithinMS = 4000, 3000 }, ""},
		"a slow disk":                  {func(n []admin.Examination) { n[2].SyncMS = 80 }, "disk of c takes 80ms"},
		"a full disk":                  {func(n []admin.Examination) { n[0].FreeBytes = 1 << 20 }, "disk of a has"},
		"a disk that can't be written": {func(n []admin.Examination) { n[0].SyncMS = -1 }, "a can't write"},
		"no directory":                 {func(n []admin.Examination) { n[0].SyncMS, n[0].FreeBytes = -1, -1 }, ""},
		"TCP":                          {func(n []admin.Examination) { n[0].Linked = []string{"c"} }, "a has no TCP connection to b"},
		"UDP":                          {func(n []admin.Examination) { n[2].Gossips = nil }, "c hears no gossip of a, b"},
		"lag":                          {func(n []admin.Examination) { n[2].Lag = 5000 }, "c is 5000 entries behind"},
		"a certificate":                {func(n []admin.Examination) { n[1].CertificateEnds = now.Add(48 * time.Hour) }, "certificate of b ends in 48h"},
		"no TLS":                       {func(n []admin.Examination) { n[1].CertificateEnds = time.Time{} }, ""},
		"one that doesn't answer":      {func(n []admin.Examination) { n[1] = admin.Examination{ID: "b", Error: "gone"} }, "b can't be examined: gone"},
	} {
		nodes := well()
		c.change(nodes)
		var found []string
		for _, f := range judge(nodes, now) {
			if f.bad {
				found = append(found, f.text)
				if f.hint == "" {
					t.Errorf("%s: %q says nothing to do", what, f.text)
				}
			}
		}
		switch {
		case c.want == "" && len(found) > 0, c.want != "" && (len(found) != 1 || !strings.Contains(found[0], c.want)):
			t.Errorf("%s: found %q, want %q", what, found, c.want)
		}
	}
}
