package node

import (
	"context"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/botnode/botnode/consensus"
	"github.com/botnode/botnode/fsm"
)

// enrolGrace is how long a machine has, from when its certificate was made out or a
// leader began to look, to be admitted. A join asks for that at once, and gives up
// after less.
const enrolGrace = 10 * time.Minute

// enrolCheck is how often a leader looks for such machines.
const enrolCheck = time.Second

// enrolment is one admission to a certificate.
type enrolment struct {
	id     string
	number uint64
}

// followEnrolments forgets machines that got a certificate and were never admitted,
// while this node leads: a rotation waits for all that have one.
func (n *Node) followEnrolments(ctx context.Context, term uint64) {
	if n.keys == nil {
		return
	}
	since := make(map[enrolment]time.Time)
	every(ctx, enrolCheck, func(now time.Time) {
		for _, e := range overdue(since, n.strays(), now, time.Duration(n.enrolGrace.Load())) {
			n.forgetStray(ctx, term, e)
		}
	})
}

// overdue returns those of the strays that have been some for as long as grace.
// since is when each was first seen.
func overdue(since map[enrolment]time.Time, strays []enrolment, now time.Time, grace time.Duration) (out []enrolment) {
	for e := range since {
		if !slices.Contains(strays, e) {
			delete(since, e)
		}
	}
	for _, e := range strays {
		if _, seen := since[e]; !seen {
			since[e] = now
		}
		if now.Sub(since[e]) >= grace {
			out = append(out, e)
		}
	}
	return out
}

// strays are the holders of certificates that are in no configuration.
func (n *Node) strays() (out []enrolment) {
	servers := n.raft.Load().Servers()
	n.State(func(s *fsm.State) {
		for _, id := range s.Trust().Members() {
			if !slices.ContainsFunc(servers, func(s consensus.Server) bool { return s.ID == id }) {
				m, _ := s.Trust().Member(id)
				out = append(out, enrolment{id, m.Enrolment})
			}
		}
	})
	return out
}

// forgetStray makes a certificate void. Nobody is admitted meanwhile, and the entry
// goes into this leader's log or into none: none of its successors can have admitted
// that machine before it.
func (n *Node) forgetStray(ctx context.Context, term uint64, e enrolment) {
	if !n.joinMu.TryLock() {
		return // somebody is being admitted; there is another look
	}
	defer n.joinMu.Unlock()
	if !slices.Contains(n.strays(), e) {
		return
	}
	var cmd []byte
	n.State(func(s *fsm.State) { cmd = fsm.Encode(s.Generation, &fsm.Forget{ID: e.id}) })
	ctx, cancel := context.WithTimeout(ctx, opTimeout)
	defer cancel()
	if _, err := n.late.Lead(term, cmd)(ctx); err != nil {
		return // the next leader looks, too
	}
	n.log.Warn("a machine got a certificate and never became a member; the certificate is void",
		zap.String("code", "enrolment_forgotten"), zap.String("joiner", e.id), zap.Uint64("enrolment", e.number))
}
