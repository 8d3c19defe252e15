package consensus

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/raft"
)

// wire is raft's network transport with seven changes: it names the node by its advertised address, it can inject a
// request of its own, it has heartbeats that change anything take their turn, it waits for an unreachable follower
// instead of reporting one failure after the other, it looks
// behind connections that have ended in the pool, it bounds the bytes of a message, and it tells followers of a new
// commit index at once.
//
// The embedded transport keeps RequestPreVote visible. Without it raft turns pre-votes off with one log line, and a node
// that comes back from a partition disturbs a healthy cluster.
type wire struct {
	*raft.NetworkTransport
	layer *layer
	addr  raft.ServerAddress
	rpcs  chan raft.RPC
	push  *pusher
	// portions bounds the messages with entries.
	portions *portions
	acks     *acks
	// follows reports whether this node is a follower in term.
	follows func(term uint64) bool
	// wanted reports whether this node still leads in term and still replicates to id.
	wanted func(term uint64, id raft.ServerID) bool

	once sync.Once
	done chan struct{}
	wg   sync.WaitGroup
}

var (
	_ raft.Transport   = (*wire)(nil)
	_ raft.WithPreVote = (*wire)(nil)
	_ raft.WithClose   = (*wire)(nil)
)

// connsPerPeer is how many idle connections raft keeps: replication, heartbeat, one for votes.
const connsPerPeer = 3

// newWire starts the transport's listener, as raft's own constructor does.
func newWire(o Options, hl hclog.Logger, addrs raft.ServerAddressProvider,
	wanted func(term uint64, id raft.ServerID) bool, follows func(term uint64) bool, commit func() uint64,
) *wire {
	l := newLayer(o.Layer, o.Peer)
	w := &wire{
		layer: l, addr: raft.ServerAddress(o.Addr), rpcs: make(chan raft.RPC), done: make(chan struct{}),
		wanted: wanted, follows: follows, portions: newPortions(), acks: newAcks(),
		NetworkTransport: raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
			ServerAddressProvider: addrs, Logger: hl, Stream: l, MaxPool: connsPerPeer,
			// 1 turns pipelining off. With more, a follower can stay wedged behind healthy heartbeats, and large
			// batches make it slower besides.
			MaxRPCsInFlight:         1,
			Timeout:                 o.RPCTimeout,
			MsgpackUseNewTimeFormat: true,
		}),
	}
	w.push = newPusher(w, commit)
	w.wg.Go(w.pump)
	w.wg.Go(w.push.run)
	return w
}

// pump passes requests on, so that timeoutNow can put one among them. Heartbeats come by SetHeartbeatHandler.
func (w *wire) pump() {
	for {
		select {
		case rpc := <-w.NetworkTransport.Consumer():
			select {
			case w.rpcs <- rpc:
			case <-w.done:
				return
			}
		case <-w.done:
			return
		}
	}
}

// SetHeartbeatHandler has raft answer heartbeats beside its main loop, which may wait for the disk, but only those that
// change nothing: of the term that this node follows in. Raft's handler changes the term and the state as any request
// does, and its main loop knows nothing of that: one that is about to lead goes on under a term that is another's, and
// the logs diverge (hashicorp/raft issue 695). All others take their turn in the loop.
func (w *wire) SetHeartbeatHandler(f func(raft.RPC)) {
	w.NetworkTransport.SetHeartbeatHandler(func(rpc raft.RPC) {
		if req, ok := rpc.Command.(*raft.AppendEntriesRequest); ok && w.follows(req.Term) {
			f(rpc)
			return
		}
		select {
		case w.rpcs <- rpc:
		case <-w.done:
		}
	})
}

// Consumer is where raft takes its requests from.
func (w *wire) Consumer() <-chan raft.RPC { return w.rpcs }

// LocalAddr is the address that other nodes know, not the one that is listened on.
func (w *wire) LocalAddr() raft.ServerAddress { return w.addr }

// Close closes the transport and every connection, and waits for its goroutine.
func (w *wire) Close() error {
	var err error
	w.once.Do(func() {
		close(w.done)
		err = errors.Join(w.NetworkTransport.Close(), w.layer.Close())
		w.CloseStreams()
	})
	w.wg.Wait()
	return err
}

// unreachableWait is how often an unreachable follower is dialled.
const unreachableWait = 50 * time.Millisecond

// AppendEntries sends entries to a follower.
//
// While the follower can't be dialled, it waits here. Raft would count failures and then wait up to 10 s between two
// attempts, also after the follower is back: a restarted node would be 10 s behind. The request is idempotent, and one
// of an older term is refused, so a late one does no harm. Heartbeats fail at once: the leader's lease depends on them.
func (w *wire) AppendEntries(id raft.ServerID, target raft.ServerAddress,
	req *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse,
) error {
	send := func() error {
		sent := time.Now()
		err := w.NetworkTransport.AppendEntries(id, target, req, resp)
		if err == nil && resp.Success {
			w.acks.note(id, req.Term, sent)
		}
		return err
	}
	if isHeartbeat(req) {
		return behindEnded(send)
	}
	for {
		w.portions.cut(id, req)
		w.push.sending(id, target, req)
		err := behindEnded(send)
		w.push.answered(id, req, resp, err)
		if !errors.Is(err, errDial) {
			w.portions.sent(id, req, err)
			return err
		}
		select {
		case <-time.After(unreachableWait):
		case <-w.done:
			return raft.ErrTransportShutdown
		}
		if !w.wanted(req.Term, id) {
			return err
		}
	}
}

// RequestVote asks for a vote.
func (w *wire) RequestVote(id raft.ServerID, target raft.ServerAddress,
	req *raft.RequestVoteRequest, resp *raft.RequestVoteResponse,
) error {
	return behindEnded(func() error { return w.NetworkTransport.RequestVote(id, target, req, resp) })
}

// RequestPreVote asks whether a vote would be given.
func (w *wire) RequestPreVote(id raft.ServerID, target raft.ServerAddress,
	req *raft.RequestPreVoteRequest, resp *raft.RequestPreVoteResponse,
) error {
	return behindEnded(func() error { return w.NetworkTransport.RequestPreVote(id, target, req, resp) })
}

// TimeoutNow has a follower stand for election.
func (w *wire) TimeoutNow(id raft.ServerID, target raft.ServerAddress,
	req *raft.TimeoutNowRequest, resp *raft.TimeoutNowResponse,
) error {
	return behindEnded(func() error { return w.NetworkTransport.TimeoutNow(id, target, req, resp) })
}

// endedWithin bounds how long a request takes that fails because its connection had ended: a round trip. What fails
// later has another reason.
const endedWithin = 500 * time.Millisecond

// behindEnded sends a request, again for each connection that turns out to have ended.
//
// Raft keeps idle connections, and looks at one again only when it uses it. Those to a process that has died are all
// dead when the next process of that node is up, and each costs a request, whose failure counts as the node's: it is
// taken for a vote refused, so that three elections in a row fail which the node would have decided. Requests of raft
// may come twice; the number of connections that can have ended is that of the pool. A failed dial is an answer.
func behindEnded(send func() error) error {
	for range connsPerPeer {
		begun := time.Now()
		if err := send(); err == nil || errors.Is(err, errDial) || time.Since(begun) > endedWithin {
			return err
		}
	}
	return send()
}

func isHeartbeat(req *raft.AppendEntriesRequest) bool {
	return req.PrevLogEntry == 0 && req.PrevLogTerm == 0 && len(req.Entries) == 0 && req.LeaderCommitIndex == 0
}

// timeoutNow makes this node a candidate that needs no pre-vote and is voted for although a leader was known: what a
// leader asks of its successor, asked of oneself.
func (w *wire) timeoutNow(ctx context.Context) error {
	answer := make(chan raft.RPCResponse, 1)
	rpc := raft.RPC{RespChan: answer, Command: &raft.TimeoutNowRequest{
		RPCHeader: raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax},
	}}
	select {
	case w.rpcs <- rpc:
	case <-w.done:
		return ErrShutdown
	case <-ctx.Done():
		return fmt.Errorf("raft's loop is busy: %w", ctx.Err())
	}
	select {
	case a := <-answer:
		return a.Error
	case <-w.done:
		return ErrShutdown
	case <-ctx.Done():
		return ctx.Err()
	}
}

// addresses finds a node by its id: membership knows the present address, the configuration the one it joined with.
type addresses struct {
	self    string
	addr    string
	resolve func(id string) (string, bool)
	servers func() []Server
}

var errNoAddress = errors.New("no address is known")

// ServerAddr returns the address of a node.
func (a *addresses) ServerAddr(id raft.ServerID) (raft.ServerAddress, error) {
	if string(id) == a.self {
		return raft.ServerAddress(a.addr), nil
	}
	if a.resolve != nil {
		if addr, ok := a.resolve(string(id)); ok && addr != "" {
			return raft.ServerAddress(addr), nil
		}
	}
	for _, s := range a.servers() {
		if s.ID == string(id) {
			return raft.ServerAddress(s.Addr), nil
		}
	}
	return "", fmt.Errorf("%w: %s", errNoAddress, id)
}
