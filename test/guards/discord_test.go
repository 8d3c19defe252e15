package guards

// discordGuards are those of what is sent to Discord: once, within its limits, and
// nothing that ends a session.
func discordGuards() []guard {
	return []guard{
		{
			name: "close-codes/echo", protects: "A close frame of Discord's isn't echoed: its 1000 or 1001, sent back, would end the session.",
			file: "discord/gateway/conn.go",
			cut:  "ws.SetCloseHandler(func(int, string) error { return nil })",
			with: "ws.SetCloseHandler(nil)",
			test: "TestAReceivedCloseIsNotEchoed",
		},
		{
			name: "dedupe/nonce-event", protects: "Two events have two nonces, although Discord numbers the events of each session from 1.",
			file: "discord/rest/nonce.go",
			cut:  "{p.Bot, p.SID, p.Handler,",
			with: "{p.Bot, \"\", p.Handler,",
			test: "TestNonce",
		},
		{
			name: "dedupe/nonce-order", protects: "Two messages of one turn to one channel have two nonces, by the order of the calls.",
			file: "discord/rest/attempt.go",
			cut:  "a.ordinals[method+\" \"+route]++",
			with: "a.ordinals[method+\" \"+route] += 0",
			test: "TestAttemptsRepeatTheirNonces",
		},
		{
			name: "dedupe/unknown-outcome", protects: "A request that may have acted isn't sent again if a second one would act twice.",
			file: "discord/rest/retry.go",
			cut:  "(c.safe || unsent) && c.replayable()",
			with: "(c.safe || !unsent) && c.replayable()",
			test: "TestRetries",
		},
		{
			name: "dedupe/answered", protects: "The answer to an interaction that an earlier turn has answered (40060) counts as success.",
			file: "turnrest.go",
			cut:  "case code == codeAcknowledged && !t.answered[req.URL.Path]:",
			with: "case code == codeAcknowledged && t.answered[req.URL.Path]:",
			test: "TestSecondTurnsAnswerSucceeds",
		},
		{
			name: "limiter/death", protects: "What a dead node may have sent is counted for a while before its places are given to others.",
			file: "discord/rest/ledger.go",
			cut:  "case !death.IsZero() && until.After(now):",
			with: "case death.IsZero() && until.After(now):",
			test: "TestLedgerRestsWhatTheDeadMayHold/a_node_died",
		},
		{
			name: "limiter/global-429", protects: "A 429 about the global limit stops all nodes, not the one that got it.",
			file: "discord/rest/permit.go",
			cut:  "if a.Status == http.StatusTooManyRequests {\n\t\tc.spread(",
			with: "if a.Status == http.StatusTeapot {\n\t\tc.spread(",
			test: "TestGlobalLimitedIsToldToAll",
		},
	}
}
