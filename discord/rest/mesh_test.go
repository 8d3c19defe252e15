package rest

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
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
	slow    atomic.Int64 // nanoseconds that answers take longer

	mu      sync.Mutex
	nodes   map[Member]*meshNode
	arrival map[[2]Member]time.Time // of the newest message between two
	number  uint64
	harm    *harm // nil: none
}

// meshNode is one process.
type meshNode struct {
	mesh   *mesh
	member Member
	c      *Cluster
	rt     *RoundTripper
	dead   chan struct{} // closed when it is
	// It stands still until then; what comes meanwhile. These are guarded by the mesh's lock.
	until   time.Time
	severed bool // it is cut off
	backlog []func()
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
		}
		n.stand()
		res, err := api.RoundTrip(r)
		n.stand()
		return res, err
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
	n.stand()
	m := n.mesh
	m.mu.Lock()
	hurt := m.harm.draw()
	target := m.nodes[to]
	at := time.Now().Add(m.latency() + hurt.stall)
	if last := m.arrival[[2]Member{n.member, to}]; !at.After(last) {
		at = last.Add(1)
	}
	if hurt.late == 0 { // else it comes by a connection that was given up: the next ones overtake it
		m.arrival[[2]Member{n.member, to}] = at
	}
	severed := n.severed || target != nil && target.severed
	m.mu.Unlock()
	if target == nil || severed {
		return nil, errMesh
	}
	type result struct {
		b   []byte
		err error
	}
	got := make(chan result, 1)
	fail := func(after time.Duration) {
		time.AfterFunc(after, func() {
			select {
			case got <- result{nil, errMesh}:
			default:
			}
		})
	}
	if hurt.cut {
		fail(hurt.after)
	}
	if !hurt.lost {
		m.deliver(n, target, msg, at.Add(hurt.late), func(b []byte, err error) {
			select {
			case got <- result{b, err}:
			default: // the call has failed
			}
		})
	}
	select {
	case r := <-got:
		n.stand()
		return r.b, r.err
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-n.dead:
	case <-target.dead:
	}
	return nil, errMesh
}

// deliver brings a message at a moment, or when its target goes on; reply gets
// the answer a latency later.
func (m *mesh) deliver(from, to *meshNode, msg []byte, at time.Time, reply func([]byte, error)) {
	handle := func() {
		if from.isDead() || to.isDead() {
			return
		}
		to.c.Handle(from.member, append([]byte(nil), msg...), func(b []byte, err error) {
			time.AfterFunc(m.latency()+time.Duration(m.slow.Load()), func() {
				to.stand()
				reply(b, err)
			})
		})
	}
	time.AfterFunc(time.Until(at), func() {
		m.mu.Lock()
		stands := time.Now().Before(to.until)
		if stands { // they are handled in order when it goes on
			to.backlog = append(to.backlog, handle)
		}
		m.mu.Unlock()
		if !stands {
			handle()
		}
	})
}

// stand returns once the node doesn't stand still any more.
func (n *meshNode) stand() {
	for {
		n.mesh.mu.Lock()
		d := time.Until(n.until)
		n.mesh.mu.Unlock()
		if d <= 0 {
			return
		}
		time.Sleep(d)
	}
}

// stop has a node stand still as far as others can see: what it sends and what is
// sent to it waits. The others notice after a while.
func (n *meshNode) stop(d time.Duration, others []*meshNode) {
	n.mesh.mu.Lock()
	n.until = time.Now().Add(d)
	n.mesh.mu.Unlock()
	time.AfterFunc(d, func() {
		n.mesh.mu.Lock()
		backlog := n.backlog
		n.backlog = nil
		n.mesh.mu.Unlock()
		for _, handle := range backlog {
			handle()
		}
	})
	for _, o := range others {
		if o == n {
			continue
		}
		if d > silentAfter {
			time.AfterFunc(silentAfter, func() { o.c.SetReachable(n.member.ID, false) })
		}
		time.AfterFunc(d+n.mesh.latency(), func() { o.c.SetReachable(n.member.ID, true) })
	}
}

// sever cuts a node off: no message gets there or comes from there.
func (m *mesh) sever(n *meshNode) { m.cutOff(n, true) }

// mend ends that.
func (m *mesh) mend(n *meshNode) { m.cutOff(n, false) }

func (m *mesh) cutOff(n *meshNode, cut bool) {
	m.mu.Lock()
	n.severed = cut
	var others []*meshNode
	for _, o := range m.nodes {
		if o != n {
			others = append(others, o)
		}
	}
	m.mu.Unlock()
	for _, o := range others {
		o.c.SetReachable(n.member.ID, !cut)
		n.c.SetReachable(o.member.ID, !cut)
	}
}

// silentAfter is when a node that stands still is noticed.
const silentAfter = 600 * time.Millisecond

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
		time.AfterFunc(delay(), func() {
			n.stand()
			n.c.SetView(v)
		})
	}
}

// harm is what a network does to messages besides taking time, in percent. The
// mesh's lock guards it.
type harm struct {
	rng   *rand.Rand
	cuts  int // the call fails; the message is lost, or comes all the same, late or not
	stall int // it and all after it take up to 150 ms more
}

// hurt is what happens to one message.
type hurt struct {
	cut, lost          bool
	after, late, stall time.Duration
}

// draw says what happens to the next message.
func (h *harm) draw() hurt {
	if h == nil {
		return hurt{}
	}
	var out hurt
	ms := func(n int) time.Duration { return time.Duration(h.rng.IntN(n)) * time.Millisecond }
	switch {
	case h.rng.IntN(100) < h.cuts:
		out = hurt{cut: true, lost: h.rng.IntN(2) == 0, after: ms(50)}
		if h.rng.IntN(2) == 0 {
			out.late = ms(300)
		}
	case h.rng.IntN(100) < h.stall:
		out.stall = ms(150)
	}
	return out
}

// flap shows nodes two views: one with a process that nobody can reach, and one
// without it. Those who miss the first one take both changes at a time.
func (m *mesh) flap(delay func() time.Duration, nodes []*meshNode, misses func() bool) {
	with := m.view(nodes...)
	with.Members = append(with.Members, Member{"gone", 1})
	after := m.view(nodes...)
	for _, n := range nodes {
		first := delay()
		if !misses() {
			time.AfterFunc(first, func() {
				n.stand()
				n.c.SetView(with)
			})
		}
		time.AfterFunc(first+delay(), func() {
			n.stand()
			n.c.SetView(after)
		})
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
