package lab

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/botnode/botnode/admin"
	"github.com/botnode/botnode/discord/sim"
	"github.com/botnode/botnode/fsm"
	"github.com/botnode/botnode/node"
)

// interval is how often a condition is looked at again.
const interval = time.Millisecond

// poll waits until cond returns nil. When ctx ends it returns the last reason.
func poll(ctx context.Context, cond func() error) error {
	for {
		err := cond()
		if err == nil {
			return nil
		}
		select {
		case <-time.After(interval):
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		}
	}
}

// waitCounted waits until the cluster counts on a node that has just started.
func (l *Lab) waitCounted(ctx context.Context, id string, n *node.Node) error {
	return poll(ctx, func() error {
		if err := n.Sync(ctx); err != nil {
			return err
		}
		if !n.Registered() {
			return fmt.Errorf("node %q isn't registered with the cluster yet", id)
		}
		return nil
	})
}

// waitLinked waits until every living node is linked to every other, has what the
// leader has committed, and may act. Before that a death would be noticed by a
// timeout, a voter might not know of another, and nobody could take over at once.
func (l *Lab) waitLinked(ctx context.Context) error {
	living := make(map[string]*node.Node)
	for _, id := range l.Living() {
		living[id] = l.Node(id)
	}
	return poll(ctx, func() error {
		var top uint64
		for _, n := range living {
			top = max(top, n.Committed())
		}
		for id, n := range living {
			if n.Committed() < top || n.Freshness().Stale {
				return fmt.Errorf("node %q has not caught up yet", id)
			}
			for peer, p := range living {
				if peer != id && !n.Linked(p.Self()) {
					return fmt.Errorf("node %q has no link to %q yet", id, peer)
				}
			}
		}
		return nil
	})
}

// Leader returns the living node that leads, and false while there is none.
func (l *Lab) Leader() (id string, n *node.Node, ok bool) {
	for _, id := range l.Living() {
		if n := l.Node(id); n != nil && n.Freshness().Leader == id {
			return id, n, true
		}
	}
	return "", nil, false
}

// state shows the state of the leader, or of another living node while there is
// none, with the bot in it.
func (l *Lab) state(f func(*fsm.State, *fsm.Bot)) error {
	_, n, ok := l.Leader()
	if living := l.Living(); !ok && len(living) > 0 {
		n = l.Node(living[0])
	}
	if n == nil {
		return errNoNode
	}
	err := errNoBot
	n.State(func(s *fsm.State) {
		if b := s.Bot(l.o.Bot); b != nil {
			err = nil
			f(s, b)
		}
	})
	return err
}

// What state has nothing to show for.
var (
	errNoNode = errors.New("no node is up")
	errNoBot  = errors.New("the cluster doesn't know the bot yet")
)

// View shows the bot's state on the leader, or on another living node while
// there is none.
func (l *Lab) View(f func(*fsm.Bot)) error {
	return l.state(func(_ *fsm.State, b *fsm.Bot) { f(b) })
}

// Serving returns nil if every shard is connected to Discord by a living node,
// with all its guilds there, and all that Discord has sent is committed; else it
// says what is missing.
func (l *Lab) Serving() error { return l.check(false) }

// Settled returns nil if Serving does and every event that was sent has been
// handled, by all handlers that want it; else it says what is missing.
func (l *Lab) Settled() error { return l.check(true) }

func (l *Lab) check(handled bool) error {
	// The sessions first: what the state shows afterwards includes them. And
	// one look at the state: two might be at two nodes.
	sessions := make(map[string]sim.SessionState)
	for _, s := range l.discord.LiveSessions() {
		sessions[s.ID] = s
	}
	var missing error
	err := l.state(func(st *fsm.State, b *fsm.Bot) {
		missing = l.unserved(st, b, sessions)
		if missing == nil && handled {
			missing = unhandled(b)
		}
	})
	if err != nil {
		return err
	}
	return missing
}

// unserved says which shard isn't served, and why.
func (l *Lab) unserved(st *fsm.State, b *fsm.Bot, sessions map[string]sim.SessionState) error {
	shards := b.Shards()
	if len(shards) == 0 {
		return errors.New("the shard count isn't known yet")
	}
	for _, sh := range shards {
		why := l.serves(&sh, sessions)
		if why == "" {
			why = l.unheard(st, sh.Owner)
		}
		if why != "" {
			return fmt.Errorf("shard %d: %s", sh.Key.Index, why)
		}
	}
	return nil
}

// unheard names a handler of an owner's program that would not get its events
// yet, "" if there is none.
func (l *Lab) unheard(st *fsm.State, owner fsm.NodeRef) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	m := l.nodes[owner.ID]
	if m == nil || m.proc == nil {
		return "no living node owns it"
	}
	for _, in := range m.proc.want {
		have := st.HandlersOf(owner, l.o.Bot, in.Type)
		for _, name := range in.Handlers {
			if !slices.Contains(have, name) {
				return fmt.Sprintf("the cluster doesn't know handler %q of %s yet", name, owner.ID)
			}
		}
	}
	return ""
}

// unhandled describes an event that handlers still want.
func unhandled(b *fsm.Bot) error {
	for e := range b.PendingEntries() {
		return fmt.Errorf("%s at position %d is not handled yet: %v wait, on %s, %d attempts failed",
			e.Type, e.Pos, e.Handlers, e.Runner.ID, e.Attempts)
	}
	return nil
}

// serves says what is missing for a shard, "" if nothing is.
func (l *Lab) serves(sh *fsm.Shard, sessions map[string]sim.SessionState) string {
	n := l.Node(sh.Owner.ID)
	s, live := sessions[sh.SID]
	switch {
	case n == nil || n.Self() != sh.Owner:
		return "no living node owns it"
	case sh.SID == "":
		return fmt.Sprintf("%s has no session yet", sh.Owner.ID)
	case !live:
		return "Discord has ended its session"
	case !s.Connected:
		return fmt.Sprintf("%s isn't connected to Discord", sh.Owner.ID)
	case s.Pending > 0:
		return fmt.Sprintf("%d guilds have not come yet", s.Pending)
	case sh.C < s.Seq:
		return fmt.Sprintf("events up to %d are committed, Discord has sent %d", sh.C, s.Seq)
	}
	return ""
}

// WaitServing waits for Serving.
func (l *Lab) WaitServing(ctx context.Context) error { return poll(ctx, l.Serving) }

// WaitSettled waits for Settled.
func (l *Lab) WaitSettled(ctx context.Context) error { return poll(ctx, l.Settled) }

// WaitLeader waits for a leader and returns its id.
func (l *Lab) WaitLeader(ctx context.Context) (id string, err error) {
	err = poll(ctx, func() error {
		var ok bool
		if id, _, ok = l.Leader(); !ok {
			return errors.New("no node leads")
		}
		return nil
	})
	return id, err
}

// Move moves a shard to a node, as planned, and waits until it is served there.
func (l *Lab) Move(ctx context.Context, index int, to string) error {
	for {
		_, n, ok := l.Leader()
		if !ok {
			return errors.New("no node leads")
		}
		once, cancel := context.WithTimeout(ctx, moveAgain)
		err := n.MoveShard(once, l.o.Bot, index, to)
		cancel()
		if err == nil {
			return l.WaitServing(ctx)
		}
		if !errors.Is(err, admin.ErrUnknownOutcome) || ctx.Err() != nil {
			return err
		}
	}
}

// moveAgain is when a move is asked for anew: a leader that is deposed meanwhile
// takes it along.
const moveAgain = 2 * time.Second

// Owner returns the node that owns a shard, "" if none does.
func (l *Lab) Owner(index int) (id string, err error) {
	err = l.View(func(b *fsm.Bot) {
		for _, sh := range b.Shards() {
			if int(sh.Key.Index) == index {
				id = sh.Owner.ID
			}
		}
	})
	return id, err
}
