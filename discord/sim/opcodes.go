package sim

// Gateway opcodes (topics/opcodes-and-status-codes.mdx). They are repeated here
// so that the judge shares nothing with the judged.
const (
	opDispatch  = 0
	opHeartbeat = 1
	opIdentify  = 2
	opPresence  = 3
	opVoice     = 4
	opResume    = 6
	opReconnect = 7
	opMembers   = 8
	opInvalid   = 9
	opHello     = 10
	opAck       = 11
	opSounds    = 31
	opChannels  = 43
)

// closeReason is what Discord says with a close code.
var closeReason = map[int]string{
	4000: "Unknown error.", 4001: "Unknown opcode.", 4002: "Error while decoding payload.",
	4003: "Not authenticated.", 4004: "Authentication failed.", 4005: "Already authenticated.",
	4007: "Invalid seq.", 4008: "Rate limited.", 4009: "Session timed out.", 4010: "Invalid shard.",
	4011: "Sharding required.", 4012: "Invalid API version.", 4013: "Invalid intent(s).", 4014: "Disallowed intent(s).",
}

// endsSession are the codes after which a new session is needed (same page and
// the fatal ones): when the server closes with one, the session is gone.
var endsSession = map[int]bool{
	1000: true, 1001: true, 4003: true, 4004: true, 4007: true, 4009: true,
	4010: true, 4011: true, 4012: true, 4013: true, 4014: true,
}
