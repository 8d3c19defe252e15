package node

import (
	"context"
	"errors"
	"net"
	"time"

	"go.uber.org/zap"

	"github.com/botnode/botnode/admin"
	"github.com/botnode/botnode/transport"
)

// begin takes the node into its cluster as its directory and its flags say.
func (n *Node) begin() error {
	has, err := n.raft.Load().HasState()
	if err != nil {
		return err
	}
	if n.keys != nil && n.keys.Ready() && time.Now().After(n.keys.NotAfter()) {
		n.wg.Go(n.reenrol)
	}
	if n.identity.AwaitsVote() {
		n.wg.Go(n.resumeJoin)
		return nil
	}
	switch {
	case has:
		if err := n.readopt(); err != nil {
			return err
		}
		n.log.Info("rejoining the cluster that the data directory belongs to", zap.String("cluster", n.ClusterID()))
		if n.o.Bootstrap {
			n.log.Info("--bootstrap has no effect: the data directory already belongs to a cluster")
		}
	case n.o.Bootstrap:
		// The port is open: a request to join may be bootstrapping already.
		n.joinMu.Lock()
		defer n.joinMu.Unlock()
		if !n.inCluster() {
			return n.bootstrap()
		}
	case len(n.o.Join) > 0:
		n.wg.Go(n.joinLoop)
	default:
		n.log.Info("waiting to join a cluster or to be joined",
			zap.String("to_join_a_node", n.howToJoin()),
			zap.String("to_start_a_cluster", "botnode start --bootstrap, or have another node join "+n.transport.Addr()))
	}
	return nil
}

// howToJoin is what takes this node into a cluster. Its admin API speaks TLS beyond
// loopback, by a certificate that it doesn't have before.
func (n *Node) howToJoin() string {
	host, _, err := net.SplitHostPort(n.o.HTTPAddr)
	if err == nil && n.keys != nil && !n.keys.Ready() && !transport.IsLoopback(host) {
		return "start it with --join PEER_HOST:PORT --join-token-file FILE"
	}
	return "botnode join --http http://" + n.o.HTTPAddr + " PEER_HOST:PORT"
}

// readopt completes a bootstrap that was cut off between the log and the
// identity.
func (n *Node) readopt() error {
	if n.ClusterID() != "" {
		return nil
	}
	id, _, err := n.identity.Bootstrap()
	if err != nil {
		return err
	}
	if err := n.identity.Adopt(id); err != nil {
		return err
	}
	n.setClusterID(id)
	return nil
}

// ErrLogMissing refuses to go on with an identity whose log is gone, and with it
// the vote: such a node would be taken for the voter that it was.
var ErrLogMissing = errors.New("the data directory belongs to a cluster, but its log is gone")

// checkMember refuses a directory that says it is a cluster's and has no log.
func (n *Node) checkMember() error {
	if n.ClusterID() == "" || n.identity.AwaitsVote() {
		return nil
	}
	has, err := n.raft.Load().HasState()
	if err == nil && !has {
		err = ErrLogMissing
	}
	return err
}

// bootstrap makes a cluster of this node alone. joinMu is held.
func (n *Node) bootstrap() error {
	id, done, err := n.identity.Bootstrap()
	if err != nil {
		return err
	}
	if done {
		return ErrLogMissing
	}
	if err := n.found(id); err != nil {
		return err
	}
	n.setClusterID(id) // a sole voter leads at once, and writes it into the log
	if err := n.raft.Load().Bootstrap(); err != nil {
		n.setClusterID("")
		return err
	}
	if err := n.identity.Adopt(id); err != nil {
		return err
	}
	n.log.Info("made a cluster of this node", zap.String("cluster", id))
	return nil
}

// joinLoop joins one of the nodes in --join. Where none belongs to a cluster
// yet and --bootstrap-expect is met, the node with the lowest address makes one.
func (n *Node) joinLoop() {
	wait := 200 * time.Millisecond
	for n.ctx.Err() == nil {
		for _, peer := range n.o.Join {
			if n.inCluster() {
				return
			}
			if n.o.BootstrapExpect > 0 && !n.founder(peer) {
				continue
			}
			_, err := n.Join(n.ctx, peer, n.o.JoinToken, func(stage string) {
				n.log.Info("joining", zap.String("peer", peer), zap.String("stage", stage))
			})
			if err == nil {
				return
			}
			n.log.Info("not joined yet; trying again", zap.String("peer", peer), zap.Error(err))
			if errors.Is(err, admin.ErrRefused) {
				n.log.Error("the join was refused", zap.String("code", "join_refused"), zap.String("peer", peer), zap.Error(err))
			}
		}
		select {
		case <-time.After(wait):
			wait = min(2*wait, 5*time.Second)
		case <-n.ctx.Done():
		}
	}
}

// founder decides, for --bootstrap-expect, whether to ask peer. A peer that
// belongs to a cluster is always asked. While nobody does, only the lowest of
// the listed addresses may be asked to make one, once enough nodes answer.
func (n *Node) founder(peer string) bool {
	up, lowest := 1, n.transport.Addr()
	asked := ""
	for _, addr := range n.o.Join {
		if addr == n.transport.Addr() {
			continue
		}
		ctx, cancel := context.WithTimeout(n.ctx, time.Second)
		report, err := n.askReport(ctx, addr)
		cancel()
		if err != nil {
			continue
		}
		up++
		lowest = min(lowest, addr)
		if report.ClusterID != "" {
			asked = addr
		}
	}
	if asked != "" {
		return peer == asked
	}
	if up < n.o.BootstrapExpect {
		return false
	}
	if lowest == n.transport.Addr() {
		n.joinMu.Lock()
		defer n.joinMu.Unlock()
		if !n.inCluster() {
			if err := n.bootstrap(); err != nil {
				n.log.Error("cluster not made", zap.String("code", "bootstrap_failed"), zap.Error(err))
			}
		}
		return false
	}
	return peer == lowest
}
