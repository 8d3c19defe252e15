package node

import (
	"strings"
	"testing"
	"time"

	"github.com/botnode/botnode/admin"
)

// TestOverdueBackup: what counts is the newest backup of all nodes, and only
// where a node is to make some.
func TestOverdueBackup(t *testing.T) {
	now := time.UnixMilli(10_000_000)
	with := func(ago time.Duration, uptime int64, failed string) report {
		b := &backupReport{EveryMS: 60_000, Failed: failed}
		if ago > 0 {
			b.LastMS = now.Add(-ago).UnixMilli()
		}
		return report{UptimeS: uptime, Backup: b}
	}
	for name, tc := range map[string]struct {
		reports map[string]report
		want    string // "" for nothing
	}{
		"nobody makes any":    {map[string]report{"joe": {UptimeS: 9000}}, ""},
		"a recent one":        {map[string]report{"joe": with(time.Minute, 9000, "")}, ""},
		"another node's":      {map[string]report{"joe": with(time.Hour, 9000, ""), "mike": with(time.Minute, 9000, "")}, ""},
		"just started":        {map[string]report{"joe": with(0, 30, "")}, ""},
		"never":               {map[string]report{"joe": with(0, 9000, "")}, "no backup has been saved"},
		"long ago":            {map[string]report{"joe": with(time.Hour, 9000, "no space")}, "no space"},
		"the leader has none": {map[string]report{"joe": {UptimeS: 9000}, "mike": with(time.Hour, 9000, "")}, "joe, which leads, has no --backup-dir"},
	} {
		got := overdueBackup(tc.reports, &admin.LeaderID{ID: "joe"}, now)
		if (got == "") != (tc.want == "") || !strings.Contains(got, tc.want) {
			t.Errorf("%s: %q, want %q", name, got, tc.want)
		}
	}
}
