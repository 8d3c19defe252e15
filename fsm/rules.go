package fsm

import (
	"fmt"

	"github.com/botnode/botnode/internal/mutant"
)

// KnownRules is the newest number of rules that this version has the effects
// of. A node that meets a newer one in a log or a snapshot stops: see
// NewerRulesError.
const KnownRules = 3

// rulesOf lists the kinds of command that came with a later number of rules. A
// node of an older version would stop at one, so that none takes effect, or is
// to be proposed, before every node of the cluster knows it.
var rulesOf = map[Kind]uint64{
	KindCharter: 2, KindPutJoinToken: 2, KindDropJoinToken: 2, KindEnrol: 2, KindHold: 2, KindRotate: 2,
	KindPutAdminToken: 2, KindDropAdminToken: 2, KindSetBotToken: 2, KindStateHash: 2,
}

// Effects that came with a later number of rules, on commands that were there before.
const (
	rulesInteractions = 2 // Events note the tokens of interactions
	rulesRightsEnd    = 2 // PutClientKey ends the sessions of a key that loses RightEvents
	rulesConnectEnds  = 2 // Connect ends the sessions of clients for which it leaves a gap
	rulesOpenOnce     = 3 // OpenClient has no effect after the end of a session of the bot's clients
)

// since reports whether effects that came with a number of rules are in force.
func (s *State) since(rules uint64) bool { return s.Rules >= rules || s.Mutant.Has(mutant.Rules) }

// Allows reports whether the rules in force have a kind of command.
func (s *State) Allows(k Kind) bool { return s.Rules >= rulesOf[k] }

// notYet refuses a command whose rules aren't in force.
func notYet(k Kind) Result {
	return refused(fmt.Sprintf("this needs rules %d, which are in force once every node runs a version that knows them: upgrade the others", rulesOf[k]))
}

// Rules raises the number that selects the effects of commands. It is
// proposed once every node of the cluster knows the new rules.
type Rules struct{ N uint64 }

// Kind implements Command.
func (*Rules) Kind() Kind { return KindRules }

func (c *Rules) encode(w *writer) { w.uint(c.N) }
func (c *Rules) decode(r *reader) { c.N = r.uint() }

func (c *Rules) apply(s *State) Result {
	if c.N < s.Rules {
		return refused("rules never go back")
	}
	s.Rules = c.N
	return Result{}
}
