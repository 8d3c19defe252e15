package shard

import "time"

// Metrics receives measurements. Its methods are called on hot paths and must not block.
type Metrics interface {
	// HandlerEnded is called after each turn of a handler. result is one of the Result constants.
	HandlerEnded(bot, handler, result string, took time.Duration)
	// HandlerConflict is called when a turn counts for nothing, since what it read had changed meanwhile: the handler
	// runs again.
	HandlerConflict(bot, handler string)
	// InteractionSkipped is called when a handler is not run for an interaction that is too old to be answered.
	InteractionSkipped(bot, handler string)
	// EventsRead is called with how many events a bot's gateway connections have brought since the last call.
	EventsRead(bot string, n uint64)
	// Gateway is called for what happens to a gateway connection: one of the Gateway constants.
	Gateway(bot, what string)
	// GatewayClosed is called when a connection ends that this node did not drop itself. code is Discord's close
	// code, 0 if it sent none.
	GatewayClosed(bot string, code int)
	// TookOver is called when events flow again on a shard that was granted to this node.
	TookOver(bot, why string, gap time.Duration, replayed int)
}

// Results of a handler's turn.
const (
	ResultOK       = "ok"
	ResultFailed   = "failed"
	ResultPanicked = "panicked"
	ResultTimedOut = "timed_out"
	// ResultCancelled: another node runs the entry now, or this one stops or has lost contact with the leader.
	ResultCancelled = "cancelled"
	ResultLate      = "late" // not run: an interaction that is too old to be answered
)

// What happens to gateway connections.
const (
	GatewayConnected   = "connected"   // HELLO came
	GatewayIdentify    = "identify"    // IDENTIFY was sent
	GatewayResume      = "resume"      // RESUME was sent
	GatewayReconnect   = "reconnect"   // Discord asked for another connection (op 7)
	GatewayInvalid     = "invalid"     // Discord refused the session (op 9)
	GatewayUnreachable = "unreachable" // no connection came about
)

type noMetrics struct{}

func (noMetrics) HandlerEnded(string, string, string, time.Duration) {}
func (noMetrics) HandlerConflict(string, string)                     {}
func (noMetrics) InteractionSkipped(string, string)                  {}
func (noMetrics) EventsRead(string, uint64)                          {}
func (noMetrics) Gateway(string, string)                             {}
func (noMetrics) GatewayClosed(string, int)                          {}
func (noMetrics) TookOver(string, string, time.Duration, int)        {}
