package node

import (
	"os"
	"path/filepath"
	"slices"
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
		if ago != 0 {
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
		"its clock is ahead":  {map[string]report{"joe": with(-time.Hour*24, 9000, ""), "mike": with(time.Hour, 9000, "")}, "the last backup is of"},
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

// TestBackupOfAClockThatWasAhead is never taken for the newest: others are made
// beside it, and it isn't what is kept.
func TestBackupOfAClockThatWasAhead(t *testing.T) {
	dir := t.TempDir()
	a := &autoBackup{n: &Node{}, o: BackupOptions{Dir: dir, Every: time.Hour, Keep: 2}}
	a.n.setClusterID("c")
	name := func(index string, at time.Time) string {
		return "botnode-c-" + index + "-" + at.UTC().Format(backupTime) + ".backup"
	}
	ahead := time.Now().AddDate(4, 0, 0)
	for _, f := range []string{
		name("90", ahead), name("100", ahead), name("100", time.Now().Add(-time.Hour)), name("101", time.Now().Add(-30*time.Minute)),
	} {
		if err := os.WriteFile(filepath.Join(dir, f), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	left := func() (indexes []uint64) {
		files, err := a.files()
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			indexes = append(indexes, f.index)
		}
		if age := time.Since(files[0].at); age < 29*time.Minute || age > time.Hour {
			t.Errorf("the newest is of %v", files[0].at)
		}
		return indexes
	}
	if got := left(); !slices.Equal(got, []uint64{101, 100, 100, 90}) {
		t.Errorf("newest first: %v", got)
	}
	if err := a.prune(); err != nil {
		t.Fatal(err)
	}
	files, err := a.files()
	if err != nil || len(files) != 2 || files[0].index != 101 || files[1].at.IsZero() {
		t.Errorf("kept: %+v, %v", files, err)
	}
}

// TestBackupsLeaveNothingHalf: what an earlier process of this node was writing goes,
// and nothing of others.
func TestBackupsLeaveNothingHalf(t *testing.T) {
	dir := t.TempDir()
	a := &autoBackup{n: &Node{}, o: BackupOptions{Dir: dir}}
	a.n.o.ID = "joe"
	a.n.setClusterID("c")
	others := []string{".botnode-c-joe-2-77.tmp", ".botnode-d-joe-77.tmp", ".botnode-c-mike-77.tmp", ".botnode-c-joe-x.tmp", "x"}
	for _, name := range append(others, ".botnode-c-joe-77.tmp") {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.sweep(); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != len(others) {
		t.Errorf("left: %v, %v", left, err)
	}
}
