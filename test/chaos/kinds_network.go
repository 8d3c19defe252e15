//go:build unix

package chaos

import (
	"fmt"
	"time"

	"github.com/botnode/botnode/internal/netlab"
)

var severed = netlab.Link{Cut: true}

// others are the hosts of all nodes but one.
func (r *run) others(n *node) (out []int) {
	for _, x := range r.cluster.nodes {
		if x != n {
			out = append(out, x.i)
		}
	}
	return out
}

// around breaks the links between some hosts and others, in both directions.
func (r *run) around(some, others []int, l netlab.Link) (heal func()) {
	out := r.cluster.net.Break(netlab.Fault{From: some, To: others, Link: l})
	in := r.cluster.net.Break(netlab.Fault{From: others, To: some, Link: l})
	return func() { out(); in() }
}

// isolate cuts a node off the others. Discord is still there for it.
func isolate(who chooser) func(*run, fault) (string, func(), error) {
	return func(r *run, f fault) (string, func(), error) {
		n, err := who(r, f.rng())
		if err != nil {
			return "", nil, err
		}
		return n.id + " is cut off the other nodes", r.around([]int{n.i}, r.others(n), severed), nil
	}
}

// unplug cuts a node off everything.
func unplug(r *run, f fault) (string, func(), error) {
	n, err := anyone(r, f.rng())
	if err != nil {
		return "", nil, err
	}
	return n.id + " is unplugged", r.around([]int{n.i}, append(r.others(n), r.cluster.simHost()), severed), nil
}

// oneWay loses what a node sends to the others, or what they send to it. Every
// other time that is the leader.
func oneWay(out bool) func(*run, fault) (string, func(), error) {
	return func(r *run, f fault) (string, func(), error) {
		rng := f.rng()
		who := chooser(anyone)
		if rng.IntN(2) == 0 {
			who = leader
		}
		n, err := who(r, rng)
		if err != nil {
			return "", nil, err
		}
		if out {
			return n.id + " is not heard", r.cluster.net.Break(netlab.Fault{From: []int{n.i}, To: r.others(n), Link: severed}), nil
		}
		return n.id + " is deaf", r.cluster.net.Break(netlab.Fault{From: r.others(n), To: []int{n.i}, Link: severed}), nil
	}
}

// pair cuts the leader off one follower: the others see both.
func pair(r *run, f fault) (string, func(), error) {
	a, err := leader(r, f.rng())
	if err != nil {
		return "", nil, err
	}
	b, err := follower(r, f.rng())
	if err != nil || a == b {
		return "", nil, errSkipped
	}
	return a.id + " and " + b.id + " are cut off each other", r.around([]int{a.i}, []int{b.i}, severed), nil
}

// flap cuts a node off the others again and again.
func flap(r *run, f fault) (string, func(), error) {
	rng := f.rng()
	n, err := anyone(r, rng)
	if err != nil {
		return "", nil, err
	}
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			heal := r.around([]int{n.i}, r.others(n), severed)
			goOn := wait(done, time.Duration(50+rng.IntN(1500))*time.Millisecond)
			heal()
			if !goOn || !wait(done, time.Duration(50+rng.IntN(800))*time.Millisecond) {
				return
			}
		}
	}()
	return n.id + " flaps", func() { close(done); <-ended }, nil
}

// wait waits, and returns false as soon as done is closed.
func wait(done <-chan struct{}, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-done:
		return false
	}
}

// slow makes all links between nodes slow and lossy.
func slow(r *run, f fault) (string, func(), error) {
	rng := f.rng()
	l := netlab.Link{
		Delay: time.Duration(1+rng.IntN(40)) * time.Millisecond, Jitter: time.Duration(1+rng.IntN(20)) * time.Millisecond,
		Loss: float64(rng.IntN(6)) / 100,
	}
	all := r.others(nil)
	return fmt.Sprintf("all links: %+v", l), r.cluster.net.Break(netlab.Fault{From: all, To: all, Link: l}), nil
}

// slowOne makes one node's links very slow.
func slowOne(r *run, f fault) (string, func(), error) {
	rng := f.rng()
	n, err := anyone(r, rng)
	if err != nil {
		return "", nil, err
	}
	l := netlab.Link{
		Delay: time.Duration(50+rng.IntN(350)) * time.Millisecond, Jitter: time.Duration(1+rng.IntN(200)) * time.Millisecond,
		Loss: float64(rng.IntN(20)) / 100, Rate: 64<<10 + rng.IntN(1<<20),
	}
	return fmt.Sprintf("%s: %+v", n.id, l), r.around([]int{n.i}, r.others(n), l), nil
}

// offDiscord cuts a node off Discord alone.
func offDiscord(r *run, f fault) (string, func(), error) {
	n, err := owner(r, f.rng())
	if err != nil {
		return "", nil, err
	}
	return n.id + " is cut off Discord", r.around([]int{n.i}, []int{r.cluster.simHost()}, severed), nil
}

// split cuts the leader and another node off the rest.
func split(r *run, f fault) (string, func(), error) {
	rng := f.rng()
	a, err := leader(r, rng)
	if err != nil {
		return "", nil, err
	}
	b, err := follower(r, rng)
	if err != nil || a == b {
		return "", nil, errSkipped
	}
	var rest []int
	for _, i := range r.others(a) {
		if i != b.i {
			rest = append(rest, i)
		}
	}
	return a.id + " and " + b.id + " are cut off the rest", r.around([]int{a.i, b.i}, rest, severed), nil
}
