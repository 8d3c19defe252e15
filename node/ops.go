package node

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/botnode/botnode/admin"
	"github.com/botnode/botnode/cache"
	"github.com/botnode/botnode/consensus"
	"github.com/botnode/botnode/fsm"
)

var _ admin.Backend = (*Node)(nil)

// opTimeout bounds an operation whose caller sets no deadline.
const opTimeout = 15 * time.Second

// Live implements admin.Backend: the state machine's lock can be taken.
func (n *Node) Live() error {
	free := make(chan struct{})
	go func() {
		n.machine.Index()
		close(free)
	}()
	select {
	case <-free:
		return nil
	case <-time.After(2 * time.Second):
		return errors.New("the state machine is stuck")
	}
}

// Ready implements admin.Backend.
func (n *Node) Ready() []admin.Check {
	if !n.inCluster() {
		return []admin.Check{{Name: "member", Problem: "in no cluster yet"}}
	}
	check := func(name string, bad bool, problem string) admin.Check {
		if !bad {
			problem = ""
		}
		return admin.Check{Name: name, Problem: problem}
	}
	r := n.raft.Load()
	commit, applied := r.CommitIndex(), r.AppliedIndex()
	waiting := n.manager.Waiting()
	return []admin.Check{
		check("member", false, ""),
		check("sync", len(waiting) > 0, "the bot does not start before "+strings.Join(waiting, ", ")+" is up, or --sync-timeout is over"),
		check("leader", !r.Leader().Known, "no leader is known"),
		check("applied", commit > applied+1000, fmt.Sprintf("%d entries behind", int64(commit-applied))),
		check("token", n.lacksToken() != "", "there is no token of bot "+n.lacksToken()+": `botnode bot-token set`"),
		check("fresh", !n.manager.Fresh(), "no leader has answered of late"),
	}
}

// CaughtUp implements admin.Backend.
func (n *Node) CaughtUp() bool { return n.ClusterID() == "" || n.caughtUp.Load() }

// BotNames implements admin.Backend.
func (n *Node) BotNames() (names []string) {
	n.machine.View(func(_ uint64, s *fsm.State) { names = s.BotNames() })
	return names
}

// Digest implements admin.Backend.
func (n *Node) Digest() (d admin.Digest) {
	n.machine.View(func(index uint64, s *fsm.State) {
		d = admin.Digest{AppliedIndex: index, Digest: s.Digest().String()}
	})
	return d
}

// Changed implements admin.Backend.
func (n *Node) Changed() <-chan struct{} { return n.machine.Changed() }

// Freshness implements admin.Backend.
func (n *Node) Freshness() admin.Read {
	read := admin.Read{Index: n.machine.Index(), Stale: !n.manager.Fresh()}
	if l := n.raft.Load().Leader(); l.Known {
		read.Leader = l.ID
	}
	return read
}

// View implements admin.Backend.
func (n *Node) View(bot string, f func(*fsm.Bot, *cache.Cache)) (admin.Read, error) {
	read := n.Freshness()
	found := false
	n.machine.View(func(index uint64, s *fsm.State) {
		read.Index = index
		if b := s.Bot(bot); b != nil {
			found = true
			f(b, b.Cache())
		}
	})
	if !found {
		return read, admin.ErrUnknownBot
	}
	return read, nil
}

// Sync implements admin.Backend.
func (n *Node) Sync(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, opTimeout)
	defer cancel()
	if err := n.catchUp(ctx); err != nil {
		return fmt.Errorf("%w: %w", admin.ErrNoQuorum, err)
	}
	return nil
}

const (
	// leaderTimeout bounds how long an operator's command waits for a leader:
	// longer than any election takes while a majority lives.
	leaderTimeout = 4 * time.Second
	hintQuorum    = "`botnode status` shows which nodes are missing"
)

// awaitLeader waits a while for a leader to be known, so that commands without
// a quorum say so instead of waiting for one.
func (n *Node) awaitLeader(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, leaderTimeout)
	defer cancel()
	if poll(ctx, func() bool { return n.raft.Load().Leader().Known }) != nil {
		return admin.WithHint(fmt.Errorf("%w: no leader is known", admin.ErrNoQuorum), hintQuorum)
	}
	return nil
}

// command proposes a command for an operator and turns its result into an
// error of package admin.
func (n *Node) command(ctx context.Context, build func(*fsm.State) fsm.Command) (fsm.Result, error) {
	if !n.inCluster() {
		return fsm.Result{}, admin.WithHint(admin.ErrNotInCluster, "`botnode join PEER` first")
	}
	ctx, cancel := context.WithTimeout(ctx, opTimeout)
	defer cancel()
	if err := n.awaitLeader(ctx); err != nil {
		return fsm.Result{}, err
	}
	res, err := n.propose(ctx, build)
	switch {
	case errors.Is(err, consensus.ErrTooLarge):
		return res, fmt.Errorf("%w: %w", admin.ErrRefused, err)
	case err != nil && consensus.NotAppended(err):
		return res, admin.WithHint(fmt.Errorf("%w: %w", admin.ErrNoQuorum, err), hintQuorum)
	case errors.Is(err, consensus.ErrUnknownOutcome):
		return res, admin.WithHint(fmt.Errorf("%w: no majority answered in time", admin.ErrUnknownOutcome), hintQuorum)
	case err != nil:
		return res, fmt.Errorf("%w: %w", admin.ErrUnknownOutcome, err)
	case res.Code == fsm.OK, res.Code == fsm.Old:
		return res, nil
	case res.Code == fsm.Conflict:
		return res, fmt.Errorf("%w: %s", admin.ErrConflict, res.Msg)
	case res.Code == fsm.Fenced:
		return res, fmt.Errorf("%w: %w: %s", admin.ErrRefused, ErrFenced, res.Msg)
	}
	return res, fmt.Errorf("%w: %s", admin.ErrRefused, res.Msg)
}

// known returns an error unless a node of that id is a member.
func (n *Node) known(id string) error {
	for _, s := range n.raft.Load().Servers() {
		if s.ID == id {
			return nil
		}
	}
	return admin.WithHint(fmt.Errorf("%w: %s", admin.ErrUnknownNode, id), "`botnode node list` shows the nodes")
}

// Drain implements admin.Backend.
func (n *Node) Drain(ctx context.Context, id string, on bool) error {
	if err := n.known(id); err != nil {
		return err
	}
	_, err := n.command(ctx, func(*fsm.State) fsm.Command { return &fsm.Drain{ID: id, On: on} })
	return err
}

// RemoveNode implements admin.Backend.
func (n *Node) RemoveNode(ctx context.Context, id string, force bool) error {
	if id == n.o.ID {
		return n.Leave(ctx)
	}
	if err := n.known(id); err != nil {
		return err
	}
	if !force && n.answers(ctx, id) {
		return admin.WithHint(fmt.Errorf("%w: node %s is up, and would go on without a cluster", admin.ErrRefused, id),
			"`botnode leave` at that node hands its shards over first; --force removes it as it is")
	}
	return n.leaderDoes(ctx, clusterRequest{Kind: "remove", ID: id})
}

// answers reports whether a node's process answers.
func (n *Node) answers(ctx context.Context, id string) bool {
	addr, ok := n.addrOf(id)
	if !ok {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	_, err := n.ask(ctx, addr, clusterRequest{Kind: "report"})
	return err == nil
}

// SetVoter implements admin.Backend.
func (n *Node) SetVoter(ctx context.Context, id string, voter bool) error {
	if err := n.known(id); err != nil {
		return err
	}
	kind := "demote"
	if voter {
		kind = "promote"
	}
	return n.leaderDoes(ctx, clusterRequest{Kind: kind, ID: id})
}

// TransferLeadership implements admin.Backend.
func (n *Node) TransferLeadership(ctx context.Context, to string) error {
	if to != "" {
		if err := n.known(to); err != nil {
			return err
		}
		if l := n.raft.Load().Leader(); l.ID == to {
			return nil
		}
	}
	return n.leaderDoes(ctx, clusterRequest{Kind: "transfer", ID: to})
}

func (n *Node) leaderDoes(ctx context.Context, req clusterRequest) error {
	if !n.inCluster() {
		return admin.WithHint(admin.ErrNotInCluster, "`botnode join PEER` first")
	}
	ctx, cancel := context.WithTimeout(ctx, opTimeout)
	defer cancel()
	if err := n.awaitLeader(ctx); err != nil {
		return err
	}
	_, err := n.askLeader(ctx, req)
	if err != nil && !errors.Is(err, admin.ErrRefused) && !errors.Is(err, admin.ErrNotReady) {
		return fmt.Errorf("%w: %w", admin.ErrNoQuorum, err)
	}
	return err
}

func (n *Node) shardKey(bot string, index int) (key fsm.ShardKey, err error) {
	err = admin.ErrUnknownBot
	n.machine.View(func(_ uint64, s *fsm.State) {
		b := s.Bot(bot)
		if b == nil {
			return
		}
		key = fsm.ShardKey{Layout: b.Layout, Index: uint32(index)}
		err = nil
		if _, ok := b.Shard(key); !ok || index < 0 {
			err = admin.WithHint(fmt.Errorf("%w: %d", admin.ErrUnknownShard, index), "`botnode shard list` shows the shards")
		}
	})
	return key, err
}

// WriteKV implements admin.Backend.
func (n *Node) WriteKV(ctx context.Context, bot, key string, value []byte, del bool, ifVersion *uint64) (uint64, error) {
	cmd := &fsm.KVWrite{Bot: bot, Change: fsm.KVChange{Key: key, Value: value, Delete: del}}
	if ifVersion != nil {
		cmd.Conditional, cmd.IfVersion = true, *ifVersion
	}
	return n.Write(ctx, cmd)
}

// DeadLetter implements admin.Backend.
func (n *Node) DeadLetter(ctx context.Context, bot string, pos uint64, retry bool) error {
	res, err := n.command(ctx, func(*fsm.State) fsm.Command { return &fsm.Dead{Bot: bot, Pos: pos, Retry: retry} })
	if err == nil && res.Code == fsm.Old {
		return fmt.Errorf("%w: dead letter %d", admin.ErrNotFound, pos)
	}
	return err
}
