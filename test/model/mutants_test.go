package model

import (
	"maps"
	"slices"
	"testing"

	"github.com/botnode/botnode/internal/mutant"
)

// mutantSeeds bounds the histories in which a missing guard must show.
const mutantSeeds = 3000

// TestMutants takes one guard out at a time. A simulation that doesn't notice
// would say nothing about the protocol with the guard in place.
func TestMutants(t *testing.T) {
	all := mutant.All()
	delete(all, "open-gaps") // see TestOpenNamesItsGaps
	for _, name := range slices.Sorted(maps.Keys(all)) {
		t.Run(name, func(t *testing.T) { expectViolation(t, Options{Mutant: all[name]}) })
	}
}

// TestOpenIsNotRepeated: the same guard keeps a late repeat from opening a session
// that has ended, which came in one of five hundred thousand histories.
func TestOpenIsNotRepeated(t *testing.T) {
	o := scenarios()["late open"]
	o.Mutant = mutant.OpenGaps
	expectViolation(t, o)
}

// TestOpenNamesItsGaps: without that guard it takes a session that is lost at once
// and a repeat that is late, which comes in one of ten thousand histories.
func TestOpenNamesItsGaps(t *testing.T) {
	o := scenarios()["late ready"]
	o.Mutant = mutant.OpenGaps
	expectViolation(t, o)
}

// TestLeaderProposalsStayInTheirTerm lets the proposals of a leader's rules
// reach its successor, as ordinary proposals may: the successor has heard of
// nodes that the other one took for silent.
func TestLeaderProposalsStayInTheirTerm(t *testing.T) {
	expectViolation(t, Options{Tune: func(k *Knobs) { k.Forward = true }})
}

// TestFreshnessNeedsTheIndex lets a node be fresh before it has applied what
// was committed when its question was answered: back from a cut, it acts on
// what it knew before.
func TestFreshnessNeedsTheIndex(t *testing.T) {
	expectViolation(t, Options{Tune: func(k *Knobs) { k.NoIndex = true }})
}

// TestClientsBeginAfterTheOpen lets a client's session begin from the state before
// it was opened: what no session wants isn't in the journal.
func TestClientsBeginAfterTheOpen(t *testing.T) {
	expectViolation(t, Options{Tune: func(k *Knobs) { k.EarlyView, k.Clients = true, 2 }})
}

// TestRenewIsPartOfTheRestore makes the new generation by a command after a
// restore: what was proposed before meets a state that has rewound.
func TestRenewIsPartOfTheRestore(t *testing.T) {
	expectViolation(t, Options{Tune: func(k *Knobs) { k.LateRenew, k.Restore = true, true }})
}

func expectViolation(t *testing.T, o Options) {
	t.Helper()
	for seed := uint64(1); seed <= mutantSeeds; seed++ {
		o.Seed = seed
		if v, _ := Run(o); v != nil {
			t.Logf("found after %d seeds: %v", seed, v)
			return
		}
	}
	t.Errorf("not found in %d seeds", mutantSeeds)
}
