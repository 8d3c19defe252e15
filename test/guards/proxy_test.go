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
	}
}
