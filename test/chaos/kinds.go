//go:build unix

package chaos

import (
	"fmt"
	"math/rand/v2"
	"syscall"
	"time"
)

// kind is a kind of fault.
type kind struct {
	name   string
	weight int // how often it is drawn, relative to others
	// least and most bound its length: for what ends at once, the time until what
	// ended is started again.
	least, most time.Duration
	network     bool // it needs a network that breaks
	disk        bool // it needs disks that fail
	nodes       int  // it needs so many nodes
	renews      bool // Discord ends a session
	// begin does it, and returns what was done to whom and what undoes it. An
	// error means that it could not be done as things are: that is no failure.
	begin func(*run, fault) (what string, end func(), err error)
}

const second = time.Second

// kinds is what can go wrong. Names begin with the group.
var kinds = []kind{
	{name: "kill-leader", weight: 6, most: 3 * second, begin: kill(leader)},
	{name: "kill-follower", weight: 4, most: 3 * second, begin: kill(follower)},
	{name: "kill-owner", weight: 5, most: 3 * second, begin: kill(owner)},
	{name: "kill-all", weight: 2, most: 2 * second, begin: powerCut},
	{name: "stop-leader", weight: 4, least: 2 * second, most: 20 * second, begin: stop(leader)},
	{name: "stop-follower", weight: 3, least: 2 * second, most: 20 * second, begin: stop(follower)},
	{name: "stop-owner", weight: 3, least: 2 * second, most: 20 * second, begin: stop(owner)},
	{name: "stop-permit-leader", weight: 2, least: 2 * second, most: 20 * second, renews: true, begin: stopPermit(true)},
	{name: "stop-permit-owner", weight: 2, least: 2 * second, most: 20 * second, renews: true, begin: stopPermit(false)},
	{name: "term-any", weight: 3, most: 2 * second, begin: term},
	{name: "term-rolling", weight: 1, begin: rolling},

	{name: "op-move", weight: 2, most: 3 * second, begin: move},
	{name: "op-transfer", weight: 2, begin: transfer},
	{name: "op-drain", weight: 2, most: 5 * second, begin: drain},
	{name: "op-rotate", weight: 2, begin: rotate},

	{name: "disk-hang", weight: 3, least: second / 10, most: 8 * second, disk: true, begin: hangs},
	{name: "disk-error", weight: 3, most: 3 * second, disk: true, begin: errs},
	{name: "disk-full", weight: 2, least: second, most: 10 * second, disk: true, begin: fills},
	{name: "disk-power", weight: 3, most: 2 * second, disk: true, begin: blackout},

	{name: "dc-cut", weight: 2, begin: discord("cut")},
	{name: "dc-close", weight: 3, begin: discord("close")},
	{name: "dc-reconnect", weight: 2, begin: discord("reconnect")},
	{name: "dc-reconnect-first", weight: 1, begin: discord("reconnect_first")},
	{name: "dc-invalid", weight: 2, begin: discord("invalid")},
	{name: "dc-garbage", weight: 1, begin: discord("garbage")},
	{name: "dc-delay", weight: 2, least: second, most: 8 * second, begin: discord("delay")},
	{name: "dc-silence", weight: 1, least: second, most: 8 * second, begin: discord("silence")},
	{name: "dc-outage", weight: 2, least: second, most: 150 * second, begin: discord("outage")},
	{name: "dc-new-session", weight: 2, renews: true, begin: newSession},
	{name: "dc-close-anew", weight: 2, renews: true, begin: closeAnew},
	{name: "rest-error", weight: 3, begin: discord("rest_error")},
	{name: "rest-cut", weight: 2, begin: discord("rest_cut")},
	{name: "rest-429", weight: 2, begin: discord("rest_429")},
	{name: "rest-delay", weight: 2, least: second, most: 8 * second, begin: discord("rest_delay")},

	{name: "net-leader", weight: 5, least: 2 * second, most: 15 * second, network: true, begin: isolate(leader)},
	{name: "net-owner", weight: 4, least: 2 * second, most: 15 * second, network: true, begin: isolate(owner)},
	{name: "net-all", weight: 2, least: 2 * second, most: 10 * second, network: true, begin: unplug},
	{name: "net-out", weight: 3, least: 2 * second, most: 15 * second, network: true, begin: oneWay(true)},
	{name: "net-in", weight: 3, least: 2 * second, most: 15 * second, network: true, begin: oneWay(false)},
	{name: "net-pair", weight: 3, least: 2 * second, most: 15 * second, network: true, nodes: 3, begin: pair},
	{name: "net-flap", weight: 3, least: 2 * second, most: 10 * second, network: true, begin: flap},
	{name: "net-slow", weight: 3, least: 2 * second, most: 15 * second, network: true, begin: slow},
	{name: "net-slow-one", weight: 3, least: 2 * second, most: 15 * second, network: true, begin: slowOne},
	{name: "net-discord", weight: 3, least: second, most: 40 * second, network: true, begin: offDiscord},
	{name: "net-split", weight: 3, least: 2 * second, most: 15 * second, network: true, nodes: 5, begin: split},
}

// chooser finds a victim.
type chooser func(*run, *rand.Rand) (*node, error)

// leader is the node that most take for the leader.
func leader(r *run, _ *rand.Rand) (*node, error) {
	if n := r.seen.leader(); n != "" {
		return r.cluster.byID(n), nil
	}
	return nil, fmt.Errorf("%w: no leader is known", errSkipped)
}

func follower(r *run, rng *rand.Rand) (*node, error) {
	lead, others := r.seen.leader(), []*node{}
	for _, n := range r.cluster.nodes {
		if n.id != lead {
			others = append(others, n)
		}
	}
	return others[rng.IntN(len(others))], nil
}

// owner is the owner of a shard by chance.
func owner(r *run, rng *rand.Rand) (*node, error) {
	shard := rng.IntN(r.o.shards)
	if id := r.seen.owner(shard); id != "" {
		return r.cluster.byID(id), nil
	}
	return nil, fmt.Errorf("%w: shard %d has no owner", errSkipped, shard)
}

func anyone(r *run, rng *rand.Rand) (*node, error) {
	return r.cluster.nodes[rng.IntN(len(r.cluster.nodes))], nil
}

// held chooses a victim that no other fault has in its hands, and holds it until
// the fault has ended.
func (c chooser) held(r *run, f fault) (*node, error) {
	n, err := c(r, f.rng())
	if err != nil {
		return nil, err
	}
	if !n.hold.TryLock() {
		return nil, fmt.Errorf("%w: %s has trouble enough", errSkipped, n.id)
	}
	return n, nil
}

func kill(who chooser) func(*run, fault) (string, func(), error) {
	return func(r *run, f fault) (string, func(), error) {
		n, err := who.held(r, f)
		if err != nil {
			return "", nil, err
		}
		r.cluster.kill(n)
		return "kill -9 " + n.id, func() { defer n.hold.Unlock(); r.cluster.start(n) }, nil
	}
}

// powerCut kills all nodes, and starts them again one after the other. What they
// have written is there: see blackout.
func powerCut(r *run, f fault) (string, func(), error) {
	held := r.holdAll()
	for _, n := range held {
		r.cluster.kill(n)
	}
	return fmt.Sprintf("kill -9 of %d nodes at once", len(held)), func() { r.startAll(held, f, r.cluster.start) }, nil
}

// holdAll holds all nodes that no other fault has in its hands.
func (r *run) holdAll() (held []*node) {
	for _, n := range r.cluster.nodes {
		if n.hold.TryLock() {
			held = append(held, n)
		}
	}
	return held
}

// startAll starts nodes in an order by chance, and lets go of them.
func (r *run) startAll(held []*node, f fault, start func(*node)) {
	rng := f.rng()
	rng.Shuffle(len(held), func(i, k int) { held[i], held[k] = held[k], held[i] })
	for _, n := range held {
		start(n)
		n.hold.Unlock()
		r.sleep(time.Duration(rng.IntN(500)) * time.Millisecond)
	}
}

func stop(who chooser) func(*run, fault) (string, func(), error) {
	return func(r *run, f fault) (string, func(), error) {
		n, err := who.held(r, f)
		if err != nil {
			return "", nil, err
		}
		r.cluster.signal(n, syscall.SIGSTOP)
		return "SIGSTOP " + n.id, func() { defer n.hold.Unlock(); r.cluster.signal(n, syscall.SIGCONT) }, nil
	}
}

// term ends a node as an operator does.
func term(r *run, f fault) (string, func(), error) {
	n, err := chooser(anyone).held(r, f)
	if err != nil {
		return "", nil, err
	}
	r.cluster.term(n)
	return "SIGTERM " + n.id, func() { defer n.hold.Unlock(); r.cluster.start(n) }, nil
}

func rolling(r *run, _ fault) (string, func(), error) {
	for _, n := range r.cluster.nodes {
		if !n.hold.TryLock() {
			continue
		}
		r.cluster.term(n)
		r.cluster.start(n)
		n.hold.Unlock()
		r.settle(10 * second) // as far as other faults let it
	}
	return "SIGTERM and start of every node in turn", func() {}, nil
}
