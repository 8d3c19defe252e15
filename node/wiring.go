package node

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"

	"github.com/botnode/botnode/consensus"
	"github.com/botnode/botnode/fsm"
	"github.com/botnode/botnode/shard"
	"github.com/botnode/botnode/transport"
	"github.com/botnode/botnode/trust"
)

// The methods that nodes call on each other. Numbers never change.
const (
	methodPropose  transport.Method = 1
	methodElection transport.Method = 2
	methodShard    transport.Method = 3
	methodCluster  transport.Method = 4
	methodREST     transport.Method = 5 // a bot's name with its length before it, then a message of package rest
)

// machine adapts fsm.Machine to consensus.
// With keys, snapshots are encrypted on
// their way to the disk and to other nodes.
type machine struct {
	*fsm.Machine
	keys *trust.Keychain // nil without
}

// Capture implements consensus.Machine.
func (m machine) Capture() (consensus.Snapshot, error) {
	c, err := m.Machine.Capture()
	return sealed(c, m.keys), err
}

// sealed returns a captured state as it goes to the disk and to other nodes.
func sealed(c consensus.Snapshot, keys *trust.Keychain) consensus.Snapshot {
	if keys == nil {
		return c
	}
	return encrypted{c, keys}
}

// Restore implements consensus.Machine.
func (m machine) Restore(r io.Reader) error {
	plain, err := decrypted(r, m.keys)
	if err != nil {
		return err
	}
	return m.Machine.Restore(plain)
}

// encrypted is a captured state that is encrypted as it is written.
type encrypted struct {
	consensus.Snapshot
	keys *trust.Keychain
}

// WriteTo implements consensus.Snapshot.
func (e encrypted) WriteTo(w io.Writer) (int64, error) {
	secret, ok := e.keys.Current()
	if !ok {
		return 0, trust.ErrNoCertificate
	}
	count := &counter{w: w}
	out, err := trust.NewWriter(count, secret.BackupKey(), nil)
	if err != nil {
		return count.n, err
	}
	_, err = e.Snapshot.WriteTo(out)
	err = errors.Join(err, out.Close())
	return count.n, err
}

// counter counts what is written.
type counter struct {
	w io.Writer
	n int64
}

// Write implements io.Writer.
func (c *counter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += int64(n)
	return n, err
}

// decrypted reads a snapshot that may be encrypted.
func decrypted(r io.Reader, keys *trust.Keychain) (io.Reader, error) {
	in := bufio.NewReaderSize(r, 64<<10)
	if _, yes := trust.StreamEpoch(in); !yes {
		return in, nil
	}
	if keys == nil {
		return nil, fmt.Errorf("%w (%w)", ErrKeysGone, trust.ErrNoKey)
	}
	plain, err := trust.NewReader(in, keys.BackupKey, nil)
	if errors.Is(err, trust.ErrNoKey) {
		err = fmt.Errorf("a snapshot that this node's keys don't open: %w: restore its trust.json, "+
			"or remove it from its cluster, empty its --data-dir and join again with a join token", err)
	}
	return plain, err
}

var _ consensus.Machine = machine{}

// errNotReady is answered while the node is being put together.
var errNotReady = errors.New("the node is starting")

// lateProposer is a proposer that exists before the one it stands for: the
// state machine has observers before Raft begins to apply.
type lateProposer struct {
	p    atomic.Pointer[consensus.Proposer]
	raft func() *consensus.Raft // nil before there is one
}

// Submit implements shard.Proposer.
func (l *lateProposer) Submit(cmd []byte, done func([]byte, error)) {
	if p := l.p.Load(); p != nil {
		p.Submit(cmd, refusals(done))
		return
	}
	done(nil, errNotReady)
}

// SubmitRider submits a command that may wait for a batch to ride in.
func (l *lateProposer) SubmitRider(cmd []byte, done func([]byte, error)) {
	if p := l.p.Load(); p != nil {
		p.SubmitRider(cmd, refusals(done))
		return
	}
	done(nil, errNotReady)
}

// refusals tells package shard what will never be taken.
func refusals(done func([]byte, error)) func([]byte, error) {
	return func(res []byte, err error) {
		if errors.Is(err, consensus.ErrTooLarge) {
			err = fmt.Errorf("%w: %w", shard.ErrTooLarge, err)
		}
		done(res, err)
	}
}

// FlushRiders sends what waits for a batch.
func (l *lateProposer) FlushRiders() {
	if p := l.p.Load(); p != nil {
		p.FlushRiders()
	}
}

// Lead implements shard.Proposer.
func (l *lateProposer) Lead(term uint64, cmd []byte) func(context.Context) ([]byte, error) {
	r := l.raft()
	if r == nil {
		return func(context.Context) ([]byte, error) { return nil, errNotReady }
	}
	if leads, ok := r.Established(); !ok || leads != term {
		return func(context.Context) ([]byte, error) { return nil, consensus.ErrNotLeader }
	}
	// If leadership ends from here on, Raft refuses.
	f := r.Propose(fsm.EncodeBatch([][]byte{cmd}))
	return func(ctx context.Context) ([]byte, error) {
		_, res, err := f.Wait(ctx)
		if err != nil {
			return nil, err
		}
		if rs, ok := res.([]fsm.Result); ok && len(rs) == 1 {
			return fsm.EncodeResult(rs[0]), nil
		}
		return nil, errors.New("a command without a result")
	}
}

// clusterView is what package shard sees of consensus and of the other nodes.
type clusterView struct{ n *Node }

// Leader implements shard.Cluster.
func (c clusterView) Leader() (string, bool) {
	r := c.n.raftOrNil()
	if r == nil {
		return "", false
	}
	l := r.Leader()
	return l.ID, l.Known
}

// Verify implements shard.Cluster.
func (c clusterView) Verify(ctx context.Context, term uint64) error {
	r := c.n.raftOrNil()
	if r == nil {
		return errNotReady
	}
	return r.VerifyTerm(ctx, term)
}

// Call implements shard.Cluster.
func (c clusterView) Call(ctx context.Context, id string, msg []byte) ([]byte, error) {
	addr, ok := c.n.addrOf(id)
	if !ok {
		return nil, errors.New("the address of node " + id + " is not known")
	}
	return c.n.transport.Call(ctx, addr, methodShard, msg)
}

// peerOf names the node that made a connection of the transport.
func peerOf(c net.Conn) string {
	if c, ok := c.(*transport.Conn); ok {
		return c.Peer().ID
	}
	return ""
}

// encodeResults encodes what the machine answers to an entry.
func encodeResults(res any) []byte {
	rs, _ := res.([]fsm.Result)
	return fsm.EncodeResults(rs)
}
