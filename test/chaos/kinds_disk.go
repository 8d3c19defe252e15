//go:build unix

package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"
)

const (
	// diskSize is that of each node's disk; its file is sparse.
	diskSize = 1 << 30
	// hangLimit is for how long a disk may hang while its node goes on. Beyond
	// it the node may end itself, by consensus's guard.
	hangLimit = 4 * time.Second
	// errorLimit is how long a node may go on with a disk that errs: until it
	// writes, which one that hears from nobody does when it stands for election.
	errorLimit = 30 * time.Second
)

// diskVictim is the leader every other time.
func diskVictim(r *run, rng *rand.Rand) (*node, error) {
	if rng.IntN(2) == 0 {
		return leader(r, rng)
	}
	return anyone(r, rng)
}

// hangs freezes a node's disk.
func hangs(r *run, f fault) (string, func(), error) {
	n, err := chooser(diskVictim).held(r, f)
	if err != nil {
		return "", nil, err
	}
	if f.length > hangLimit {
		n.ending()
	}
	if err := n.disk.Freeze(); err != nil {
		r.violate("%v", err)
	}
	return "the disk of " + n.id + " hangs", func() {
		defer n.hold.Unlock()
		if err := n.disk.Thaw(); err != nil {
			r.violate("%v", err)
		}
		r.revived(n)
	}, nil
}

// revived waits until a node whose disk works again answers, or has ended, and
// starts it in that case.
func (r *run) revived(n *node) {
	p := n.proc()
	err := until(context.Background(), healLimit, func() error {
		if !p.Alive() {
			return nil
		}
		_, err := n.status(context.Background())
		return err
	})
	if err != nil {
		r.violate("%s neither answers nor ends after its disk works again: %v", n.id, err)
	}
	if p.Alive() {
		n.spared()
		return
	}
	r.cluster.start(n)
}

// errs has a node's disk fail for good: the node must end itself. It is started
// again with what it had synced.
func errs(r *run, f fault) (string, func(), error) {
	n, err := chooser(diskVictim).held(r, f)
	if err != nil {
		return "", nil, err
	}
	p := n.ending()
	if err := n.disk.Fail(); err != nil {
		r.violate("%v", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), errorLimit)
	defer cancel()
	switch code, err := p.Wait(ctx); {
	case err != nil:
		r.violate("%s goes on %v after its disk failed", n.id, errorLimit)
		p.Close()
	case code == 0:
		r.violate("%s ended with exit code 0 when its disk failed", n.id)
	}
	return "the disk of " + n.id + " errs", func() {
		defer n.hold.Unlock()
		r.replug(n)
	}, nil
}

// replug starts a node whose disk had failed.
func (r *run) replug(n *node) {
	if err := n.disk.Replug(); err != nil {
		r.violate("%s: %v", n.id, err)
	}
	r.cluster.start(n)
}

// blackout takes the power of all nodes at once: what none of them had synced is
// gone, on every disk.
func blackout(r *run, f fault) (string, func(), error) {
	held := r.holdAll()
	for _, n := range held {
		n.ending()
	}
	for _, n := range held {
		if err := n.disk.Fail(); err != nil {
			r.violate("%v", err)
		}
	}
	for _, n := range held {
		r.cluster.kill(n)
	}
	return fmt.Sprintf("%d nodes are without power", len(held)), func() { r.startAll(held, f, r.replug) }, nil
}

// fills leaves a node's disk no room. The node may end itself.
func fills(r *run, f fault) (string, func(), error) {
	n, err := chooser(diskVictim).held(r, f)
	if err != nil {
		return "", nil, err
	}
	n.ending()
	if err := n.disk.Fill(); err != nil {
		r.violate("%v", err)
	}
	return "the disk of " + n.id + " is full", func() {
		defer n.hold.Unlock()
		if err := n.disk.Free(); err != nil {
			r.violate("%v", err)
		}
		r.revived(n)
	}, nil
}
