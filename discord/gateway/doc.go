// Package gateway is one connection to Discord's gateway: a pure state machine
// (Machine) and a thin loop that does its I/O (Conn).
//
// A Conn lives from the dial to one Closed report. It says HELLO to its owner,
// heartbeats, and waits for the order to Resume or to Identify; from then on it
// reports what it reads, in order, until the connection ends.
//
//	           HELLO             order                READY
//	WaitHello --------> Idle --------------> Identifying ----+
//	                     ^  \   order                        v
//	                     |   +-------------> Resuming -----> Live
//	                     |                      |   RESUMED  |
//	                     +----------------------+------------+   op 9
//
//	any state --(deadline, zombie, malformed frame, Drop, end of TCP)--> Closed
//	any state --(CloseSession)--> Closing --(reply or 2 s)-------------> Closed
//
// WaitHello, Identifying and Resuming have a deadline; the one of Resuming moves
// with every replayed event. All but WaitHello heartbeat. Time during which the
// owner's Sink keeps the reader from reading is in no deadline, and a heartbeat
// whose answer may lie unread in the socket makes no zombie.
//
// What the package refuses to do: it never decides when to dial, to resume, to
// identify or to wait (that depends on replicated state), never reconnects, never
// decodes an event beyond its envelope, never drops one, and never closes with
// 1000 or 1001 a session that is to live. docs/design/gateway.md has the reasons.
package gateway
