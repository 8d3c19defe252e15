package cli

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/botnode/botnode/admin"
)

// What is worth a finding.
const (
	clockApart   = 2 * time.Second // join tokens, schedules and the ages of events go by clocks; certificates bear an hour
	slowSync     = 25 * time.Millisecond
	littleSpace  = 1 << 30 // bytes
	lowPercent   = 5
	certificate  = 21 * 24 * time.Hour
	entriesAhead = 1000
)

// finding is one thing that doctor looked at.
type finding struct {
	bad        bool
	text, hint string
}

// judge looks at what the nodes found out about themselves. It is pure.
func judge(nodes []admin.Examination, now time.Time) (out []finding) {
	bad := func(hint, format string, args ...any) {
		out = append(out, finding{true, fmt.Sprintf(format, args...), hint})
	}
	apart, slowest := 0.0, admin.Examination{SyncMS: -1}
	for _, n := range nodes {
		if n.Error != "" {
			bad("is it running, and is its --cluster-addr reachable?", "node %s can't be examined: %s", n.ID, n.Error)
			continue
		}
		if off := max(n.ClockAheadMS, -n.ClockAheadMS) - n.ClockWithinMS; off > apart {
			apart = off
		}
		if n.SyncMS > slowest.SyncMS {
			slowest = n
		}
		judgeNode(n, nodes, now, bad)
	}
	if apart > float64(clockApart.Milliseconds()) {
		bad("run a time service on every node (chrony, systemd-timesyncd)", "the nodes' clocks are %.1f s apart", apart/1000)
	} else if len(nodes) > 1 {
		out = append(out, finding{text: fmt.Sprintf("the nodes' clocks are at most %.0f ms apart", apart)})
	}
	switch took := time.Duration(slowest.SyncMS * 1e6); {
	case slowest.SyncMS < 0:
	case took > slowSync:
		bad("every event waits for it: put --data-dir on another disk", "the disk of %s takes %s for a synced write of 4 KiB", slowest.ID, took.Round(10*time.Microsecond))
	default:
		out = append(out, finding{text: fmt.Sprintf("a synced write of 4 KiB takes at most %s (%s)", took.Round(10*time.Microsecond), slowest.ID)})
	}
	return out
}

func judgeNode(n admin.Examination, nodes []admin.Examination, now time.Time, bad func(hint, format string, args ...any)) {
	if off := unreached(n.Linked, n.ID, nodes); off != "" {
		bad("open the cluster port for TCP between all nodes", "node %s has no TCP connection to %s", n.ID, off)
	}
	if off := unreached(n.Gossips, n.ID, nodes); off != "" {
		bad("open the cluster port for UDP between all nodes", "node %s hears no gossip of %s", n.ID, off)
	}
	if n.SyncMS < 0 && n.FreeBytes >= 0 {
		bad("is the disk full, or read-only?", "node %s can't write to its --data-dir", n.ID)
	}
	if n.FreeBytes >= 0 && (n.FreeBytes < littleSpace || n.FreePercent < lowPercent) {
		bad("make room: a node whose disk is full stops", "the disk of %s has %s left (%.0f %%)", n.ID, bytesText(uint64(n.FreeBytes)), n.FreePercent) //nolint:gosec // checked
	}
	if n.Lag > entriesAhead {
		bad("it catches up by itself, unless its disk is too slow", "node %s is %d entries behind", n.ID, n.Lag)
	}
	if left := n.CertificateEnds.Sub(now); !n.CertificateEnds.IsZero() && left < certificate {
		bad("it should have been renewed: look for code=trust_behind in its log, and compare the clocks", "the certificate of %s ends in %s", n.ID, left.Round(time.Hour))
	}
}

// unreached lists the nodes that answered and that aren't among those reached.
func unreached(reached []string, self string, nodes []admin.Examination) string {
	var off []string
	for _, other := range nodes {
		if other.ID != self && other.Error == "" && !slices.Contains(reached, other.ID) {
			off = append(off, other.ID)
		}
	}
	return strings.Join(off, ", ")
}
