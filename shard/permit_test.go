package shard

import (
	"testing"

	"github.com/botnode/botnode/fsm"
)

// The first identify of a key waits for no other key's: a bot with several of
// them starts its shards at once, in whatever order they ask.
func TestFirstPermitOfAKeyIsImmediate(t *testing.T) {
	m, p := newTestManager(t)
	for _, c := range []fsm.Command{
		&fsm.Configure{Bot: "default", Config: []byte(`{}`)},
		&fsm.Layout{Bot: "default", Total: 2, To: 1},
		&fsm.Budget{Bot: "default", Budget: fsm.IdentifyBudget{Remaining: 10, Limit: 10, MaxConcurrency: 2}},
	} {
		p.do(c)
	}
	l, now := NewLeader(DefaultTiming(), 1), Time(1)
	l.BudgetRead("default")
	for key := range uint32(2) {
		k := fsm.ShardKey{Layout: 2, Index: key}
		p.do(&fsm.Grant{Bot: "default", Shard: k, To: refJoe})
		l.AskedPermit(now, "default", key, k, 1, 1)
		permitted := false
		m.o.Machine.View(func(_ uint64, s *fsm.State) {
			for _, a := range l.Plan(now, s) {
				if lp, ok := a.(LeaderPropose); ok {
					c, isPermit := lp.Cmd.(*fsm.Permit)
					permitted = permitted || isPermit && c.Key == key
				}
			}
		})
		if !permitted {
			t.Errorf("key %d was never used and has to wait", key)
		}
		p.do(&fsm.Permit{Bot: "default", Shard: k, Epoch: 1, Key: key, Ask: 1})
	}
}
