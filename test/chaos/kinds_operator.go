//go:build unix

package chaos

import (
	"context"
	"fmt"
	"strconv"
	"time"
)

// operate asks a node by chance for something, as an operator does who doesn't
// know what state the cluster is in. A refusal is no failure.
func (r *run) operate(f fault, ask func(context.Context, *node) error) error {
	n, err := anyone(r, f.rng())
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := ask(ctx, n); err != nil {
		return fmt.Errorf("%w: %w", errSkipped, err)
	}
	return nil
}

// move moves a shard to a node, where it stays until the fault is over.
func move(r *run, f fault) (string, func(), error) {
	rng := f.rng()
	shard, to := strconv.Itoa(rng.IntN(r.o.shards)), r.cluster.nodes[rng.IntN(len(r.cluster.nodes))]
	err := r.operate(f, func(ctx context.Context, n *node) error { return n.client.MoveShard(ctx, shard, to.id) })
	return "shard " + shard + " is moved to " + to.id, func() {
		r.insist("shard "+shard+" is not released", func(ctx context.Context, n *node) error { return n.client.MoveShard(ctx, shard, "") })
	}, err
}

// transfer moves leadership.
func transfer(r *run, f fault) (string, func(), error) {
	to, err := follower(r, f.rng())
	if err != nil {
		return "", nil, err
	}
	err = r.operate(f, func(ctx context.Context, n *node) error { return n.client.TransferLeadership(ctx, to.id) })
	return "leadership is moved to " + to.id, func() {}, err
}

// drain takes all shards off a node.
func drain(r *run, f fault) (string, func(), error) {
	who, err := anyone(r, f.rng())
	if err != nil {
		return "", nil, err
	}
	err = r.operate(f, func(ctx context.Context, n *node) error { return n.client.Drain(ctx, who.id, true) })
	return who.id + " is drained", func() {
		r.insist(who.id+" stays drained", func(ctx context.Context, n *node) error { return n.client.Drain(ctx, who.id, false) })
	}, err
}

// rotate replaces the cluster's authority, certificates and secret.
func rotate(r *run, f fault) (string, func(), error) {
	err := r.operate(f, func(ctx context.Context, n *node) error { return n.client.RotateTLS(ctx) })
	return "the cluster's keys are rotated", func() {}, err
}

// insist asks one node after the other until one does it.
func (r *run) insist(otherwise string, ask func(context.Context, *node) error) {
	i := 0
	err := until(context.Background(), healLimit, func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		i++
		return ask(ctx, r.cluster.nodes[i%len(r.cluster.nodes)])
	})
	if err != nil {
		r.violate("%s: %v", otherwise, err)
	}
}

// rotated waits until no node knows of a rotation that goes on.
func (r *run) rotated(ctx context.Context) {
	err := until(ctx, healLimit, func() error {
		for _, n := range r.cluster.nodes {
			t, err := n.client.TLS(ctx)
			if err != nil {
				return err
			}
			if t.Next != 0 {
				return fmt.Errorf("%s: the keys of epoch %d are not everywhere: %+v", n.id, t.Next, t.Members)
			}
		}
		return nil
	})
	if err != nil {
		r.violate("a rotation of the cluster's keys has not ended: %v", err)
	}
}
