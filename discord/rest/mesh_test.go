package rest

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"
	"time"
)

var errMesh = errors.New("no way there")

// mesh is a network between the limiters of a test: messages of one process to
// another arrive in order, after a latency; a process that died neither sends nor
// answers.
type mesh struct {
	t       testing.TB
	latency func() time.Duration

	mu      sync.Mutex
	nodes   map[Member]*meshNode
	arrival map[[2]Member]time.Time // of the newest message between two
	number  uint64
}

// meshNode is one process.
type meshNode struct {
	mesh   *mesh
	member Member
	c      *Cluster
	rt     *RoundTripper
	dead   chan struct{} // closed when it is
}

func newMesh(t testing.TB, latency func() time.Duration) *mesh {
	return &mesh{t: t, latency: latency, nodes: map[Member]*meshNode{}, arrival: map[[2]Member]time.Time{}}
}

// start adds a process whose requests go to api.
func (m *mesh) start(id string, inc uint64, o Options, api http.RoundTripper) *meshNode {
	m.t.Helper()
	n := &meshNode{mesh: m, member: Member{id, inc}, dead: make(chan struct{})}
	perSecond := o.GlobalPerSecond
	if perSecond == 0 {
		perSecond = 50
	}
	n.c = NewCluster(ClusterOptions{Self: n.member, Peers: n, GlobalPerSecond: perSecond})
	o.Limiter = n.c
	o.Transport = transportFunc(func(r *http.Request) (*http.Response, error) {
		select {
		case <-n.dead:
			return nil, errMesh
		default:
			return api.RoundTrip(r)
		}
	})
	n.rt = newTest(m.t, o)
	m.mu.Lock()
	m.nodes[n.member] = n
	m.mu.Unlock()
	m.t.Cleanup(n.c.Close)
	return n
}

// kill ends a process at once: nothing of it is sent any more.
func (n *meshNode) kill() {
	close(n.dead)
	n.c.Close()
	n.rt.Close()
}

// Call implements Peers.
func (n *meshNode) Call(ctx context.Context, to Member, msg []byte) ([]byte, error) {
	m := n.mesh
	m.mu.Lock()
	target := m.nodes[to]
	at := time.Now().Add(m.latency())
	if last := m.arrival[[2]Member{n.member, to}]; !at.After(last) {
		at = last.Add(1)
	}
	m.arrival[[2]Member{n.member, to}] = at
	m.mu.Unlock()
	if target == nil {
		return nil, errMesh
	}
	type result struct {
		b   []byte
		err error
	}
	got := make(chan result, 1)
	time.AfterFunc(time.Until(at), func() {
		if n.isDead() || target.isDead() {
			return
		}
		target.c.Handle(n.member, append([]byte(nil), msg...), func(b []byte, err error) {
			time.AfterFunc(m.latency(), func() { got <- result{b, err} })
		})
	})
	select {
	case r := <-got:
		return r.b, r.err
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-n.dead:
	case <-target.dead:
	}
	return nil, errMesh
}

func (n *meshNode) isDead() bool {
	select {
	case <-n.dead:
		return true
	default:
		return false
	}
}

// view returns the next view, of these processes.
func (m *mesh) view(nodes ...*meshNode) View {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.number++
	v := View{Number: m.number}
	for _, n := range nodes {
		v.Members = append(v.Members, n.member)
	}
	return v
}

// show gives a view to its members, one at a time with a delay before each.
func (m *mesh) show(delay func() time.Duration, nodes ...*meshNode) {
	v := m.view(nodes...)
	for _, n := range nodes {
		time.AfterFunc(delay(), func() { n.c.SetView(v) })
	}
}

// atOnce is no delay.
func atOnce() time.Duration { return 0 }

// trio starts three nodes that see each other, with a latency of a millisecond.
func trio(t testing.TB, o Options, api http.RoundTripper) (*mesh, []*meshNode) {
	m := newMesh(t, func() time.Duration { return time.Millisecond })
	nodes := []*meshNode{m.start("joe", 1, o, api), m.start("mike", 1, o, api), m.start("robert", 1, o, api)}
	m.show(atOnce, nodes...)
	time.Sleep(2 * barrierTime)
	return m, nodes
}

// homeOf returns the node that keeps a channel's buckets, and another one.
func homeOf(nodes []*meshNode, major string) (home, other *meshNode) {
	for _, n := range nodes {
		n.c.here.mu.Lock()
		at := n.c.view.homeOf(major, IdentityNone)
		n.c.here.mu.Unlock()
		if at == n.member {
			home = n
		} else {
			other = n
		}
	}
	return home, other
}
