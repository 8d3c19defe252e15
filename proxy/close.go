package proxy

import "github.com/botnode/botnode/discord"

// ending is how the server ends a connection: payloads first, then the close
// frame.
type ending struct {
	code   discord.CloseCode // sent, or with quiet the client's; 0 for none
	reason string            // says what to do; the close frame has it
	first  []byte            // a payload before the close frame, or nil
	// retract: instead of an end, op 9 false; the connection may IDENTIFY again.
	retract bool
	quiet   bool      // the client is gone already
	of      *follower // the session that it is about; nil for any
	// settled: only for a connection whose client has read READY or RESUMED. Some
	// libraries take a connection that ends before that for the end of their
	// session; they wait, as awaitServing does.
	settled bool
}

// maxReason is what a close frame has room for besides its code (RFC 6455, 5.5).
const maxReason = 123

func closing(code discord.CloseCode, reason string) *ending {
	if len(reason) > maxReason {
		reason = reason[:maxReason-3] + "..."
	}
	return &ending{code: code, reason: reason}
}

// dropped ends a connection so that its session can be resumed. The codes 1000
// and 1001 are never sent: some libraries take them for the session's end.
func dropped(reason string) *ending { return closing(discord.CloseUnknownError, reason) }

// elsewhere is op 7: the session goes on at another node.
func elsewhere(reason string) *ending {
	e := dropped(reason)
	e.first = appendPayload(nil, discord.OpReconnect, "null")
	return e
}

// invalid is op 9 false: the session can't be resumed, another may begin.
func invalid() *ending { return &ending{retract: true} }
