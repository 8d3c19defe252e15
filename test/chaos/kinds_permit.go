//go:build unix

package chaos

import (
	"fmt"
	"syscall"
	"time"

	"github.com/botnode/botnode/discord/sim"
)

// permitLimit is how long a shard may take to come to a step of its new session
// for a fault that waits for it: it may have no owner just now.
const permitLimit = 15 * time.Second

// stopPermit has Discord refuse a RESUME, and stops a process at a step of the
// permit by which the shard gets its new session: just after the refusal, while
// the owner asks for the permit and has it, or just after its IDENTIFY, before
// the permit is cleared.
func stopPermit(leads bool) func(*run, fault) (string, func(), error) {
	return func(r *run, f fault) (string, func(), error) {
		rng := f.rng()
		shard := rng.IntN(r.o.shards)
		who := r.seen.owner(shard)
		if leads {
			who = r.seen.leader()
		}
		n := r.cluster.byID(who)
		if n == nil || !n.hold.TryLock() {
			return "", nil, fmt.Errorf("%w: nobody to stop, or %s has trouble enough", errSkipped, who)
		}
		l := r.cluster.sim.Ledger()
		refused, begun := len(l.Resumes()), len(l.Identifies())
		r.inject(sim.Fault{Kind: "refuse_resume", Count: 1})
		r.inject(sim.Fault{Kind: "cut", Shard: &shard})
		step, after := "after the refusal", time.Duration(rng.IntN(20))*time.Millisecond
		come := func() bool { return len(l.Resumes()) > refused }
		switch rng.IntN(3) {
		case 0:
			step, after = "around the permit", time.Duration(rng.IntN(6000))*time.Millisecond
		case 1:
			step = "after the IDENTIFY"
			come = func() bool { return len(l.Identifies()) > begun }
		}
		for end := time.Now().Add(permitLimit); !come() && time.Now().Before(end); {
			r.sleep(time.Millisecond)
		}
		r.sleep(after)
		r.cluster.signal(n, syscall.SIGSTOP)
		return fmt.Sprintf("SIGSTOP %s %v %s of shard %d", n.id, after, step, shard), func() {
			defer n.hold.Unlock()
			r.cluster.signal(n, syscall.SIGCONT)
		}, nil
	}
}
