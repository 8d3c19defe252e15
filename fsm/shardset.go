package fsm

import (
	"fmt"
	"strconv"
	"strings"
)

// ShardSet says which shards of how many a cluster runs. The zero ShardSet is
// what Discord recommends.
type ShardSet struct {
	Total    uint32
	From, To uint32 // the first and the last
	// Manual: an operator connects them.
	Manual bool
}

// ParseShards reads a bot's shard setting: auto, manual, N, or LO-HI/N.
func ParseShards(setting string) (ShardSet, error) {
	wrong := func() (ShardSet, error) {
		return ShardSet{}, fmt.Errorf("%q is none of auto, manual, N and LO-HI/N", setting)
	}
	switch setting {
	case "", "auto":
		return ShardSet{}, nil
	case "manual":
		return ShardSet{Manual: true}, nil
	}
	span, count, ranged := strings.Cut(setting, "/")
	if !ranged {
		count = setting
	}
	total, err := strconv.ParseUint(count, 10, 32)
	if err != nil {
		return wrong()
	}
	lo, hi := uint64(0), total-1
	if ranged {
		first, last, ok := strings.Cut(span, "-")
		var err1, err2 error
		lo, err1 = strconv.ParseUint(first, 10, 32)
		hi, err2 = strconv.ParseUint(last, 10, 32)
		if !ok || err1 != nil || err2 != nil {
			return wrong()
		}
	}
	if total < 1 || total > MaxShards || lo > hi || hi >= total {
		return ShardSet{}, fmt.Errorf("%q: a range lies in 0 to N-1, and N in 1 to %d", setting, MaxShards)
	}
	return ShardSet{Total: uint32(total), From: uint32(lo), To: uint32(hi)}, nil
}

// shardsDiffer says why a setting can't be put in force, "" if it can: the
// shards of a layout stay as they are, since there is no resharding yet.
func (b *Bot) shardsDiffer(setting string) string {
	want, err := ParseShards(setting)
	if err != nil {
		return "shards: " + err.Error()
	}
	if b.Layout == 0 || setting == b.Config.Shards || want.Manual {
		return ""
	}
	have := ShardSet{Total: b.Layout, From: b.Layout}
	for _, sh := range b.sortedShards() {
		if sh.Key.Layout == b.Layout {
			have.From, have.To = min(have.From, sh.Key.Index), max(have.To, sh.Key.Index)
		}
	}
	if want.Total == 0 { // whatever Discord recommends, but not a part of it
		want = ShardSet{Total: b.Layout, To: b.Layout - 1}
	}
	if want == have {
		return ""
	}
	return fmt.Sprintf("shards: %d-%d/%d are in force and can't become %q: the number of shards doesn't change while a bot runs (resharding is not in this version)",
		have.From, have.To, have.Total, setting)
}
