package discord

import "strconv"

// CloseCode is the status of a WebSocket close frame: the application codes of
// topics/opcodes-and-status-codes.mdx, "Gateway Close Event Codes", and the few
// of RFC 6455 that matter.
type CloseCode int

// The close codes of RFC 6455 that a gateway connection meets.
const (
	// CloseNormal, when *sent by the client*, ends the session for good
	// (events/gateway.mdx, "Initiating a Disconnect"). Never send it on a
	// session that is to live. See EndsSession.
	CloseNormal CloseCode = 1000
	// CloseGoingAway, when sent by the client, ends the session as CloseNormal does.
	CloseGoingAway CloseCode = 1001
	// CloseProtocolError is a breach of the WebSocket protocol.
	CloseProtocolError CloseCode = 1002
	// CloseNoStatus stands for a close frame without a code; it is never on the wire.
	CloseNoStatus CloseCode = 1005
	// CloseAbnormal stands for a connection that ended without a close frame;
	// it is never on the wire.
	CloseAbnormal CloseCode = 1006
	// CloseTooBig is a message above the receiver's bound.
	CloseTooBig CloseCode = 1009
	// CloseInternalError is a server's fault.
	CloseInternalError CloseCode = 1011
	// CloseServiceRestart is a server that restarts.
	CloseServiceRestart CloseCode = 1012
)

// The close codes of Discord's gateway. 4006 is not in use.
const (
	CloseUnknownError         CloseCode = 4000
	CloseUnknownOpcode        CloseCode = 4001
	CloseDecodeError          CloseCode = 4002
	CloseNotAuthenticated     CloseCode = 4003
	CloseAuthenticationFailed CloseCode = 4004
	CloseAlreadyAuthenticated CloseCode = 4005
	CloseInvalidSeq           CloseCode = 4007
	CloseRateLimited          CloseCode = 4008
	CloseSessionTimedOut      CloseCode = 4009
	CloseInvalidShard         CloseCode = 4010
	CloseShardingRequired     CloseCode = 4011
	CloseInvalidAPIVersion    CloseCode = 4012
	CloseInvalidIntents       CloseCode = 4013
	CloseDisallowedIntents    CloseCode = 4014
)

// Verdict is what the end of a connection means for its session.
type Verdict int

// The verdicts. Their zero value is the one that loses nothing: a RESUME of a
// dead session costs one op 9 and no identify.
const (
	// VerdictResume: the session may live, reconnect and RESUME.
	VerdictResume Verdict = iota
	// VerdictNewSession: the session is gone, a new one may be identified.
	VerdictNewSession
	// VerdictFatal: reconnecting cannot help until a human changes something.
	VerdictFatal
)

// String names the verdict for logs.
func (v Verdict) String() string {
	switch v {
	case VerdictResume:
		return "resume"
	case VerdictNewSession:
		return "new session"
	case VerdictFatal:
		return "fatal"
	}
	return "verdict " + strconv.Itoa(int(v))
}

// Verdict judges a code *received from Discord*. Codes that are not documented
// resume. So do 1000 and 1001, which kill a session only when the client sends
// them. 4001 is judged a lost session although the table says "reconnect": it is
// never resumable.
func (c CloseCode) Verdict() Verdict {
	switch c {
	case CloseAuthenticationFailed, CloseInvalidShard, CloseShardingRequired,
		CloseInvalidAPIVersion, CloseInvalidIntents, CloseDisallowedIntents:
		return VerdictFatal
	case CloseUnknownOpcode, CloseNotAuthenticated, CloseInvalidSeq, CloseSessionTimedOut:
		return VerdictNewSession
	}
	return VerdictResume
}

// EndsSession tells whether a client that *sends* this code thereby kills its
// session. Everything else, a plain end of TCP included, leaves it resumable for
// a few minutes.
func (c CloseCode) EndsSession() bool { return c == CloseNormal || c == CloseGoingAway }

// String is the code with its meaning, such as "4004 authentication failed".
func (c CloseCode) String() string {
	n := strconv.Itoa(int(c))
	if m := c.meaning(); m != "" {
		return n + " " + m
	}
	return n
}

func (c CloseCode) meaning() string {
	switch c {
	case CloseNormal:
		return "normal closure"
	case CloseGoingAway:
		return "going away"
	case CloseProtocolError:
		return "protocol error"
	case CloseNoStatus:
		return "no status"
	case CloseAbnormal:
		return "abnormal closure"
	case CloseTooBig:
		return "message too big"
	case CloseInternalError:
		return "internal error"
	case CloseServiceRestart:
		return "service restart"
	case CloseUnknownError:
		return "unknown error"
	case CloseUnknownOpcode:
		return "unknown opcode"
	case CloseDecodeError:
		return "decode error"
	case CloseNotAuthenticated:
		return "not authenticated"
	case CloseAuthenticationFailed:
		return "authentication failed"
	case CloseAlreadyAuthenticated:
		return "already authenticated"
	case CloseInvalidSeq:
		return "invalid seq"
	case CloseRateLimited:
		return "rate limited"
	case CloseSessionTimedOut:
		return "session timed out"
	case CloseInvalidShard:
		return "invalid shard"
	case CloseShardingRequired:
		return "sharding required"
	case CloseInvalidAPIVersion:
		return "invalid api version"
	case CloseInvalidIntents:
		return "invalid intents"
	case CloseDisallowedIntents:
		return "disallowed intents"
	}
	return ""
}
