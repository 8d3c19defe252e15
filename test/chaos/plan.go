//go:build unix

package chaos

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// fault is one entry of a schedule.
type fault struct {
	n          int
	kind       *kind
	at, length time.Duration
	// seed decides what the kind leaves open: the victim among equals, codes, rates.
	seed uint64
}

func (f fault) String() string {
	return fmt.Sprintf("%3d  %6.1fs  %-16s for %.1fs", f.n, f.at.Seconds(), f.kind.name, f.length.Seconds())
}

// rng is what the fault draws from.
func (f fault) rng() *rand.Rand { return rand.New(rand.NewPCG(f.seed, 7)) }

// calm is the time before the first fault, and after the last has ended.
const calm = time.Second

// plan makes a schedule of some length, in which so many of ten faults begin while
// the one before still lasts. Equal arguments make equal schedules.
func plan(seed uint64, length time.Duration, kinds []*kind, overlap int) []fault {
	total := 0
	for _, k := range kinds {
		total += k.weight
	}
	rng := rand.New(rand.NewPCG(seed, 1))
	between := func(low, high time.Duration) time.Duration {
		if high <= low {
			return low
		}
		return low + time.Duration(rng.Int64N(int64(high-low)))
	}
	var out []fault
	end, last := time.Duration(0), fault{}
	for at := calm; ; {
		k := pick(rng, kinds, total)
		// A short run has short faults, or it would have one.
		most := max(k.least, min(k.most, length/4))
		f := fault{n: len(out) + 1, kind: k, at: at, length: between(k.least, most), seed: rng.Uint64()}
		if f.at+f.length+calm > length {
			return out
		}
		out, last = append(out, f), f
		end = max(end, f.at+f.length)
		if at = end + between(200*time.Millisecond, 1500*time.Millisecond); rng.IntN(10) < overlap {
			at = between(last.at+100*time.Millisecond, end)
		}
	}
}

func pick(rng *rand.Rand, kinds []*kind, total int) *kind {
	n := rng.IntN(total)
	for _, k := range kinds {
		if n -= k.weight; n < 0 {
			return k
		}
	}
	return kinds[0] // not reached: the weights add up to total
}

// chosen returns the kinds that can be had, of those that o.kinds (separated by
// commas; "" for all) begin.
func chosen(o options) []*kind {
	var out []*kind
	for i := range kinds {
		k := &kinds[i]
		wanted := o.kinds == "" || slices.ContainsFunc(strings.Split(o.kinds, ","), func(n string) bool { return strings.HasPrefix(k.name, n) })
		if wanted && (o.network || !k.network) && (o.disks || !k.disk) && o.nodes >= k.nodes {
			out = append(out, k)
		}
	}
	return out
}

// kindOf is the kind with a name.
func kindOf(name string) *kind {
	return &kinds[slices.IndexFunc(kinds, func(k kind) bool { return k.name == name })]
}
