package node

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/botnode/botnode/fsm"
)

// hashLook is how often a leader looks whether the state has passed a hash
// point, and hashPatience how long it waits for the others to pass it.
const (
	hashLook     = time.Second
	hashPatience = 10 * time.Second
)

// followHashes has the voters compare their states at each hash point, while
// this node leads: what a majority has goes into the log, and a node that has
// something else stops as it applies that, the leader like any other.
func (n *Node) followHashes(ctx context.Context) {
	look := time.NewTicker(n.o.hashLook())
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
		}
		point := n.machine.NewestHash()
		var agreed fsm.HashPoint
		allowed := false
		n.State(func(s *fsm.State) { agreed, allowed = s.Agreed(), s.Allows(fsm.KindStateHash) })
		if !allowed || point.Index <= agreed.Index {
			continue
		}
		n.agree(ctx, point.Index)
	}
}

// agree asks all voters for their digest at a hash point.
func (n *Node) agree(ctx context.Context, index uint64) {
	ctx, cancel := context.WithTimeout(ctx, hashPatience)
	defer cancel()
	votes, voters := n.digestsAt(ctx, index)
	counts := make(map[fsm.Digest]int)
	for id, d := range votes {
		if counts[d]++; 2*counts[d] > voters {
			n.recordHash(ctx, fsm.HashPoint{Index: index, Digest: d})
			return
		}
		n.log.Debug("state hash", zap.String("voter", id), zap.Uint64("index", index), zap.Stringer("digest", d))
	}
	if len(counts) > 1 {
		n.differs.Store(&index)
		n.log.Error("the states of nodes differ, and no majority agrees: nobody can say which is right",
			zap.String("code", "state_differs"), zap.Uint64("index", index))
	}
}

// recordHash proposes what a majority has.
func (n *Node) recordHash(ctx context.Context, p fsm.HashPoint) {
	n.differs.Store(nil)
	if _, err := n.propose(ctx, func(*fsm.State) fsm.Command { return &fsm.StateHash{HashPoint: p} }); err != nil {
		n.log.Debug("state hash not recorded", zap.Error(err)) // the next look finds the same point again
	}
}

// digestsAt returns the digests at a hash point, by voter, of those that answer
// in time, and how many voters there are. It waits no longer than a majority
// that agrees needs, or than ctx.
func (n *Node) digestsAt(ctx context.Context, index uint64) (map[string]fsm.Digest, int) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var mu sync.Mutex
	votes, voters := make(map[string]fsm.Digest), 0
	var asking sync.WaitGroup
	servers := n.raft.Load().Servers()
	for _, s := range servers {
		if s.Voter {
			voters++
		}
	}
	for _, s := range servers {
		if !s.Voter {
			continue
		}
		asking.Go(func() {
			d, err := n.digestOf(ctx, s.ID, index)
			if err != nil {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			votes[s.ID] = d
			same := 0
			for _, other := range votes {
				if other == d {
					same++
				}
			}
			if 2*same > voters {
				cancel()
			}
		})
	}
	asking.Wait()
	return votes, voters
}

// digestOf asks one voter until it has passed the hash point.
func (n *Node) digestOf(ctx context.Context, id string, index uint64) (fsm.Digest, error) {
	for {
		a, err := n.hashAnswer(index), error(nil)
		if id != n.o.ID {
			addr, _ := n.addrOf(id)
			a, err = n.ask(ctx, addr, clusterRequest{Kind: "hash", Index: index})
		}
		switch {
		case err == nil && a.Hash != nil:
			return *a.Hash, nil
		case err == nil && a.Index > index:
			return fsm.Digest{}, errHashGone
		}
		if err := pause(ctx, 100*time.Millisecond); err != nil {
			return fsm.Digest{}, err
		}
	}
}

// errHashGone is returned for a hash point that a node remembers no more, or
// passed before it came to its state by a snapshot.
var errHashGone = errors.New("the hash point is no more")

// hashAnswer answers a request of kind hash: with a digest if this node has it,
// and with its newest hash point, which says whether it still may.
func (n *Node) hashAnswer(index uint64) clusterAnswer {
	a := clusterAnswer{Index: n.machine.NewestHash().Index}
	if p, ok := n.machine.HashAt(index); ok {
		a.Hash = &p.Digest
	}
	return a
}

// stateFatal is told that the state machine must not go on. A state that differs
// from the others' is marked on the disk: the next start would go on with it.
func (n *Node) stateFatal(err error) {
	if diverged := new(fsm.DivergedError); errors.As(err, &diverged) {
		n.log.Error("this node's state differs from the majority's", zap.String("code", "state_diverged"),
			zap.Uint64("index", diverged.Index), zap.Stringer("own", diverged.Own), zap.Stringer("agreed", diverged.Agreed))
		if mark := n.identity.MarkDiverged(diverged.Error()); mark != nil {
			n.log.Error("the data directory could not be marked", zap.String("code", "state_diverged"), zap.Error(mark))
		}
	}
	n.o.Fatal(err)
}
