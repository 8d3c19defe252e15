// Package discord is the wire vocabulary of Discord's gateway: snowflakes,
// opcodes, close codes with their verdicts, intents, and event names.
//
// It holds names and pure functions over them, and nothing else. It opens no
// connection, keeps no state, decodes no event, and depends on no other package
// of this module, so that the client, the simulator that judges the client, and
// the replicated state machine can all speak the same words without sharing code.
//
// Facts cite the public documentation by path (under developers/):
// events/gateway.mdx, events/gateway-events.mdx and
// topics/opcodes-and-status-codes.mdx.
package discord
