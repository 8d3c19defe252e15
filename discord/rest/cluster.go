package rest

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.uber.org/zap"
)

// Unlimited is a global limit that nothing reaches: from it on none is kept.
const Unlimited = 1 << 20

const (
	// barrierTime bounds how long a new home waits for what the others know. They
	// tell at once, but a lost packet or a slow disk takes its time, and what isn't
	// waited for costs a 429. Nodes that are out of reach are not waited for.
	barrierTime = 250 * time.Millisecond
	// earlyTime bounds how long a message waits for the view that it speaks of.
	earlyTime = 200 * time.Millisecond
	// retryTime is between two tries of a node that isn't reached.
	retryTime = 20 * time.Millisecond
	// aloneTime is how long a home may be out of reach, while the cluster counts
	// it among the living, before a node counts for itself.
	aloneTime = time.Second
	// tryTime is how much of one try that fails counts towards that.
	tryTime = aloneTime / 4
)

// errMoved says that a bucket is kept elsewhere by now.
var errMoved = errors.New("rest: the bucket has moved")

// errAlone says that it hasn't been for long enough: this node counts for itself.
var errAlone = errors.New("rest: the bucket's home has been out of reach")

// errUnreached says that the home of a bucket can't be reached.
var errUnreached = errors.New("rest: the bucket's home is out of reach")

// Peers reaches the limiters of the same bot on other nodes.
type Peers interface {
	// Call sends a message, which must arrive at [Cluster.Handle] there, and
	// returns the answer, however long that takes. Messages to one process must
	// arrive in the order in which they were sent. It is called concurrently.
	Call(ctx context.Context, to Member, msg []byte) ([]byte, error)
}

// ClusterOptions configures a Cluster.
type ClusterOptions struct {
	// Self is this process.
	Self Member
	// Peers reaches the others.
	Peers Peers
	// GlobalPerSecond is the global limit of the whole cluster; from Unlimited on none is kept.
	GlobalPerSecond int
	// Logger gets what an operator should know; by default nothing is logged.
	Logger *zap.Logger
}

// Cluster is the Limiter of a cluster of nodes. A bucket has a home, the node that
// rendezvous hashing gives its top-level resource among the living; requests of
// the other nodes wait in its queue there. The places of a global limit are
// leased to the nodes. docs/design/rest.md says why.
//
// SetView and Handle feed it; Close ends it. It is safe for concurrent use.
type Cluster struct {
	o      ClusterOptions
	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	wg     sync.WaitGroup

	// here has the buckets that this node keeps and its lanes. Its lock guards all
	// that follows; nobody waits or calls a peer under it.
	here    *localLimiter
	limit   int // the cluster's global limit
	view    *viewState
	stay    uint64        // rises with each view that this node enters
	entered uint64        // the view's number when it did
	changed chan struct{} // closed and replaced at each change of the view
	death   time.Time     // when a process last left the view
	peers   map[string]*peer
	barrier *barrier
	early   []*early

	ids    uint64             // of the newest permit asked for
	tells  uint64             // of the newest message told to anybody
	asks   map[uint64]Member  // asked of other nodes, without an answer yet
	out    map[uint64]*permit // granted, without an answer yet
	heard  heard
	losses []lossAt               // of this node's requests
	strays []lossAt               // of others', for buckets that may not be known before the barrier falls
	guests map[guestKey]*waiter   // requests in this node's buckets, its own included
	gone   map[guestKey]time.Time // when they were withdrawn, before they arrived

	leases  [identities]*lease
	ledgers [identities]*ledger // nil where another node hands out the places
	timers  [identities]*time.Timer

	invalid func(time.Time) int // of this node; nil until bound
	told    int                 // what the others were told of it
}

var _ Limiter = (*Cluster)(nil)

// NewCluster returns the limiter of a node that is in no view yet. Requests wait
// for the first view, as they do for a home that is out of reach, for a second;
// then they are counted by this node for itself.
func NewCluster(o ClusterOptions) *Cluster {
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	c := &Cluster{
		o: o, here: newLocalLimiter(0), view: newViewState(o.Self, View{}), changed: make(chan struct{}),
		peers: map[string]*peer{}, asks: map[uint64]Member{}, out: map[uint64]*permit{}, heard: heard{},
		guests: map[guestKey]*waiter{}, gone: map[guestKey]time.Time{},
	}
	c.barrier = &barrier{timer: time.NewTimer(0)} // of no view
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.here.onLane = c.lookAtLanes
	for i := range c.leases {
		c.leases[i] = &lease{c: c, identity: Identity(i), lane: c.here.lanes[i], wake: make(chan struct{}, 1)}
	}
	c.SetGlobalPerSecond(o.GlobalPerSecond)
	for _, l := range c.leases {
		c.wg.Go(l.run)
	}
	c.wg.Go(c.shareInvalid)
	return c
}

// Close fails all requests that wait, of this node with ErrClosed, and waits for
// the limiter's goroutines.
func (c *Cluster) Close() {
	c.cancel()
	c.here.close()
	c.here.mu.Lock()
	for _, e := range c.early {
		e.timer.Stop()
	}
	c.early = nil
	c.barrier.timer.Stop()
	for i, l := range c.ledgers {
		if l != nil {
			l.close(c.view.stamp)
		}
		if c.timers[i] != nil {
			c.timers[i].Stop()
		}
	}
	c.here.mu.Unlock()
	c.wg.Wait()
}

// SetGlobalPerSecond changes the global limit of the whole cluster. All nodes
// must be told; while they differ, the home of a lane decides.
func (c *Cluster) SetGlobalPerSecond(n int) {
	c.here.mu.Lock()
	defer c.here.mu.Unlock()
	if c.limit == n {
		return
	}
	now := time.Now()
	c.limit = n
	for i, l := range c.leases {
		l.lane.none, l.lane.whole = n >= Unlimited, n
		if c.ledgers[i] != nil {
			c.ledgers[i].limit = n
			c.allocate(Identity(i), now)
		}
		c.here.pumpLane(l.lane, now)
	}
}

// count returns how many buckets this node keeps.
func (c *Cluster) count() int { return c.here.count() }

// Acquire implements Limiter. Interactions are this node's own business: they
// have no global limit, and each has buckets that nobody else uses.
func (c *Cluster) Acquire(ctx context.Context, r Request) (Permit, error) {
	if r.Exempt {
		r.private = true
		return c.here.Acquire(ctx, r)
	}
	without := time.Duration(0) // a home
	for stay := uint64(0); ; {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if now := c.stays(); now != stay {
			stay, without = now, 0
		}
		began := time.Now()
		p, err := c.try(ctx, r)
		if errors.Is(err, errAlone) || without >= aloneTime && (errors.Is(err, errUnreached) || errors.Is(err, errMoved)) {
			p, err = c.alone(ctx, r)
		}
		switch {
		case err == nil:
			return p, nil
		case !errors.Is(err, errUnreached) && !errors.Is(err, errMoved):
			return nil, err
		}
		// A try may have waited in the home's queue for long before it failed: that
		// was no time without one.
		without += min(time.Since(began), tryTime)
		if errors.Is(err, errUnreached) {
			began = time.Now()
			c.retry(ctx)
			without += time.Since(began)
		}
	}
}

// stays returns which stay in a view this node's is.
func (c *Cluster) stays() uint64 {
	c.here.mu.Lock()
	defer c.here.mu.Unlock()
	return c.stay
}

// retry waits a moment, or for the view to change.
func (c *Cluster) retry(ctx context.Context) {
	c.here.mu.Lock()
	changed := c.changed
	c.here.mu.Unlock()
	c.await(ctx, changed, retryTime)
}

// await waits for one of what can happen.
func (c *Cluster) await(ctx context.Context, changed <-chan struct{}, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-changed:
	case <-t.C:
	case <-ctx.Done():
	case <-c.ctx.Done():
	}
}
