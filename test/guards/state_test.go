package guards

// stateGuards are those of the replicated state: what a command must meet to have
// an effect, on whatever node it is applied.
func stateGuards() []guard {
	return []guard{
		{
			name: "fencing/grant", protects: "A Grant made from an older epoch takes no shard from its owner.",
			file: "fsm/shards.go",
			cut:  "if sh.Epoch != c.Epoch {\n\t\treturn sh.fenced()",
			with: "if sh.Epoch < c.Epoch {\n\t\treturn sh.fenced()",
			test: "TestGuards/shard/grant_of_an_old_epoch",
		},
		{
			name: "fencing/events-epoch", protects: "What a fenced owner has read from its socket isn't applied.",
			file: "fsm/events.go",
			cut:  `if !sh.inForce(c.Epoch) || sh.SID != c.SID || c.SID == "" {`,
			with: `if sh.SID != c.SID || c.SID == "" {`,
			test: "TestGuards/events/of_a_fenced_owner",
		},
		{
			name: "dedupe/events", protects: "An event at or below the committed sequence isn't applied again.",
			file: "fsm/events.go",
			cut:  "if e.S <= sh.C && !s.Mutant.Has(mutant.Dedupe) {\n\t\t\tcontinue",
			with: "if e.S < sh.C && !s.Mutant.Has(mutant.Dedupe) {\n\t\t\tcontinue",
			test: "TestGuards/events/overlapping",
		},
		{
			name: "permits/held", protects: "Two shards of one identify key never have a permit at a time.",
			file: "fsm/permits.go",
			cut:  "case last.Held:\n\t\treturn refused(\"the identify key is taken\")",
			with: "case last.Held && last.Shard != c.Shard:\n\t\treturn refused(\"the identify key is taken\")",
			test: "TestGuards/permit/permit_of_a_taken_key",
		},
		{
			name: "rules/older-joiner", protects: "No node becomes a member that would stop at the rules in force.",
			file: "node/admit.go",
			cut:  "if req.knows() < rules {\n\t\treturn refuseOlder(req, rules), nil",
			with: "if req.knows() < 1 {\n\t\treturn refuseOlder(req, rules), nil",
			test: "TestOlderJoinerIsRefused",
		},
	}
}
