package guards

// proxyGuards are those between the journal and the clients of the proxy.
func proxyGuards() []guard {
	return []guard{
		{
			name: "proxy/gap", protects: "A client whose shard has a gap begins anew.",
			file: "fsm/shards.go",
			cut:  "b.endSharing(s, sh.Key)",
			with: "",
			pkg:  "proxy", test: "TestClientsLearnOfAGap",
		},
		{
			name: "proxy/lost", protects: "A client's session isn't resumed over events that the journal has let go of.",
			file: "fsm/clientread.go",
			cut:  "if !b.HasFrom(next) {\n\t\treturn 0, ResumeLost",
			with: "if next == 0 {\n\t\treturn 0, ResumeLost",
			pkg:  "proxy", test: "TestResumeAt",
		},
		{
			name: "proxy/idempotency", protects: "A repeat under one idempotency key is one message, whichever node takes it.",
			file: "proxy/rest.go",
			cut:  "if !ok {\n\t\treturn randomNonce(), nil",
			with: "if !ok || len(values) == 1 && values[0] == \"k\" {\n\t\treturn randomNonce(), nil",
			test: "TestIdempotencyKey",
		},
		{
			name: "proxy/new-key", protects: "A client key that was made a moment ago is taken by a node that hasn't heard of it.",
			file: "proxy/asker.go",
			cut:  "if err := s.ask(ctx); err != nil {\n\t\treturn false, err\n\t}",
			with: "",
			test: "TestNewKeyAtANodeThatLags",
		},
		{
			name: "proxy/asks-apart", protects: "Wrong keys cost the leader a bounded number of questions.",
			file: "proxy/asker.go",
			cut:  "pause.Reset(askEvery)",
			with: "pause.Reset(0)",
			test: "TestFloodOfWrongKeys",
		},
		{
			name: "proxy/unsure", protects: "Without a quorum no client key is called wrong.",
			file: "proxy/identify.go",
			cut:  "case err != nil:\n\t\treturn Client{}, elsewhere(",
			with: "case err != nil && may:\n\t\treturn Client{}, elsewhere(",
			test: "TestNoQuorumForAKey",
		},
	}
}
