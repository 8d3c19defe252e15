//go:build unix

package chaos

import (
	"strings"
	"testing"
	"time"

	"github.com/botnode/botnode/admin"
	"github.com/botnode/botnode/discord/sim"
)

func TestDigestsThatContradict(t *testing.T) {
	s := newSeen(nil)
	for _, tt := range []struct {
		by    string
		index uint64
		what  string
		ok    bool
	}{
		{"joe", 1, "a", true}, {"mike", 1, "a", true}, {"joe", 1, "a", true},
		{"mike", 2, "b", true}, {"joe", 2, "c", false},
		{"joe", 3, "d", true}, {"joe", 3, "e", false}, // a node that contradicts itself
	} {
		if err := s.digest(tt.by, admin.Digest{AppliedIndex: tt.index, Digest: tt.what}); (err == nil) != tt.ok {
			t.Errorf("%+v: %v", tt, err)
		}
	}
	if s.compared != 1 {
		t.Errorf("compared at %d indexes", s.compared)
	}
}

func TestOwnersThatContradict(t *testing.T) {
	s := newSeen(nil)
	for _, tt := range []struct {
		by    string
		shard admin.Shard
		ok    bool
	}{
		{"joe", admin.Shard{ID: 1, Epoch: 1, Owner: "joe"}, true},
		{"mike", admin.Shard{ID: 1, Epoch: 1, Owner: "joe"}, true},
		{"mike", admin.Shard{ID: 1, Epoch: 1}, true}, // the owner is down
		{"mike", admin.Shard{ID: 1, Epoch: 2, Owner: "mike"}, true},
		{"joe", admin.Shard{ID: 1, Epoch: 1, Owner: "joe"}, true}, // it is behind
		{"joe", admin.Shard{ID: 1, Epoch: 2, Owner: "joe"}, false},
	} {
		if err := s.owned(tt.by, tt.shard); (err == nil) != tt.ok {
			t.Errorf("%+v: %v", tt, err)
		}
	}
	if got := s.owner(1); got != "mike" {
		t.Errorf("the owner is %q", got)
	}
}

func TestLeaderOfMost(t *testing.T) {
	s := newSeen(nil)
	if got := s.leader(); got != "" {
		t.Errorf("%q leads", got)
	}
	s.leaders = map[string]string{"joe": "mike", "mike": "mike", "robert": "robert"}
	if got := s.leader(); got != "mike" {
		t.Errorf("%q leads", got)
	}
}

func TestSameSeedSameSchedule(t *testing.T) {
	all := chosen(options{network: true, nodes: 5, disks: true})
	text := func(seed uint64) string {
		var b strings.Builder
		for _, f := range plan(seed, shortTime*10, all, 4) {
			b.WriteString(f.String())
			if f.length > f.kind.most || f.length < f.kind.least || f.at+f.length > shortTime*10 {
				t.Errorf("out of bounds: %v", f)
			}
		}
		return b.String()
	}
	first, again, other := text(7), text(7), text(8)
	if first != again {
		t.Error("a seed made two schedules")
	}
	if first == other {
		t.Error("two seeds made one schedule")
	}
}

func TestChosenKinds(t *testing.T) {
	for _, k := range chosen(options{nodes: 3}) {
		if k.network || k.disk || k.nodes > 3 {
			t.Errorf("%s can't be had", k.name)
		}
	}
	if got := chosen(options{kinds: "kill-a,net-split", network: true, nodes: 5, disks: true}); len(got) != 2 {
		t.Errorf("%d kinds", len(got))
	}
	if got := chosen(options{kinds: "net", network: false, nodes: 5, disks: true}); len(got) != 0 {
		t.Errorf("%d kinds of network faults on loopback", len(got))
	}
}

// TestFollows: what a session's end took away begins with the first event after the
// committed ones, written or not, and not with the end.
func TestFollows(t *testing.T) {
	at := func(s int) time.Time { return time.Unix(int64(1000+s), 0) }
	made := sim.SessionRecord{Made: []sim.Made{{S: 1, At: at(1)}, {S: 3, At: at(3)}, {S: 4, At: at(4)}}}
	for _, tt := range []struct {
		of   sim.SessionRecord
		seq  int64
		want time.Time
	}{
		{made, 0, at(1)},
		{made, 1, at(3)},
		{made, 2, at(3)},
		{made, 3, at(4)},
		{made, 4, at(9)},
		{sim.SessionRecord{}, 7, at(9)},
	} {
		if got := follows(tt.of, tt.seq, at(9)); !got.Equal(tt.want.Add(-saying)) {
			t.Errorf("after %d: %v, want %v", tt.seq, got, tt.want)
		}
	}
}
