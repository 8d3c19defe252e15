package gateway

import (
	"time"

	"github.com/botnode/botnode/discord"
)

// InputKind says what an Input is.
type InputKind int

// The inputs of a Machine: what was read, what was ordered, what went wrong.
const (
	InHello        InputKind = iota + 1 // op 10; Interval
	InDispatch                          // op 0; Type
	InBeatRequest                       // op 1
	InReconnect                         // op 7
	InInvalid                           // op 9; Resumable
	InAck                               // op 11
	InOther                             // any other op
	InResume                            // order; Order
	InIdentify                          // order; Order
	InDrop                              // order: end TCP, keep the session
	InCloseSession                      // order: end the session
	InTick                              // time passed
	InWriteFailed                       // the writer failed; Closure
	InFail                              // end the connection for the reason in Closure
	InEnded                             // the reader has ended; Closure says why, if nobody did before
)

// Input is one thing that happens to a connection. Which fields count is said at
// its kind.
type Input struct {
	Kind      InputKind
	Interval  time.Duration
	Type      string
	Resumable bool
	Order     any // opaque to the machine, handed back with DoResume or DoIdentify
	Closure   Closure
}

// Do says what an Output asks for.
type Do int

// The outputs of a Machine. The first seven are reports to the Sink.
const (
	DoHello     Do = iota + 1 // Duration: the heartbeat interval
	DoDispatch                // the event that was stepped
	DoInvalid                 // Resumable
	DoReconnect               //
	DoLatency                 // Duration: a heartbeat's round trip
	DoOther                   // the payload that was stepped
	DoClosed                  // Closure; the last output of all
	DoBeat                    // write a heartbeat, ahead of everything
	DoResume                  // write op 6; Order
	DoIdentify                // write op 2; Order
	DoClose                   // write a close frame with 1000
	DoDrop                    // end TCP without a close frame
	DoIgnore                  // the input makes no sense here; log it
)

// Output is one thing to be done.
type Output struct {
	Do        Do
	Duration  time.Duration
	Resumable bool
	Order     any
	Closure   Closure
}

// The causes of a Closure: constant texts, fit for a log key and a metric label.
const (
	CauseDropped       = "dropped"                    // Drop was called
	CauseSessionClosed = "session closed"             // CloseSession was called
	CauseCloseFrame    = "close frame"                // Discord closed, with Code
	CauseLost          = "connection lost"            // TCP or TLS ended without a close frame
	CauseZombie        = "heartbeat not acknowledged" // a heartbeat went unanswered
	CauseNoHello       = "no hello"                   // deadline passed
	CauseNoReady       = "no ready"                   // deadline passed
	CauseNoResumed     = "no resumed"                 // deadline passed
	CauseMalformed     = "malformed frame"            // not a gateway payload
	CauseBadStream     = "bad compressed stream"      // zlib or zstd did not accept it
	CauseTooBig        = "message too big"            // above Options.MaxMessage
	CauseWrite         = "write failed"               // or took longer than WriteTimeout
	CauseOrder         = "order cannot be sent"       // an IDENTIFY or RESUME above 4,096 bytes
)

// Closure is how a connection ended.
type Closure struct {
	// Code is what Discord closed with; 0 if there was no close frame from it.
	// It is 1000 after CloseSession.
	Code discord.CloseCode
	// Err is the detail, for logs; nil if Cause says it all.
	Err error
	// Cause is one of the Cause constants.
	Cause string
	// Verdict is what the end means for the session.
	Verdict discord.Verdict
}

// Dispatch is one event, op 0. READY and RESUMED are events like any other.
type Dispatch struct {
	Seq  int64
	Type string
	// Data is the raw JSON of d, owned by the receiver.
	Data []byte
	// Deep says that Data nests deeper than MaxDepth. It is JSON, but no
	// recursive reader may be let near it: store it, give it no effect.
	Deep bool
}

// Sink receives the reports of a Conn, one after another, on the reader's
// goroutine. A Sink that blocks is the back-pressure: nothing is read meanwhile,
// heartbeats go on, and no deadline runs. It must end when its owner drops the
// connection, because Run returns only after Closed.
type Sink interface {
	// Hello says that the connection is usable and an order is awaited.
	Hello(interval time.Duration)
	// Dispatch is every event, in the order of the stream.
	Dispatch(e Dispatch)
	// InvalidSession is op 9. The connection awaits another order, or Drop.
	InvalidSession(resumable bool)
	// Reconnect is op 7: Discord is about to close the connection. It may come
	// before Hello.
	Reconnect()
	// Latency is the round trip of a heartbeat.
	Latency(d time.Duration)
	// Closed comes exactly once, last.
	Closed(c Closure)
}

// OpSink is implemented by a Sink that wants payloads with an opcode that this
// package does not know. d is valid during the call only.
type OpSink interface {
	Op(op discord.Opcode, d []byte)
}

// Identify is what IDENTIFY carries besides the token.
type Identify struct {
	Shard          [2]int // shard and number of shards; a number of 0 leaves the pair out
	Intents        discord.Intents
	Properties     Properties
	Presence       []byte // raw JSON object, nil for none
	LargeThreshold int    // 50 to 250, 0 for Discord's default
}

// Properties describe the client to Discord; empty fields get defaults.
type Properties struct {
	OS      string `json:"os"`
	Browser string `json:"browser"`
	Device  string `json:"device"`
}
