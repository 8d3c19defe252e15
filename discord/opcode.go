package discord

import "strconv"

// Opcode is the kind of a gateway payload, its field "op"
// (topics/opcodes-and-status-codes.mdx, "Gateway Opcodes"). Opcodes that are
// not listed here exist or will exist: they are passed through, never refused.
type Opcode int

// The gateway opcodes. The direction is seen from the client.
const (
	OpDispatch                Opcode = 0  // received: an event
	OpHeartbeat               Opcode = 1  // sent, and received as a request for one at once
	OpIdentify                Opcode = 2  // sent: begins a session
	OpPresenceUpdate          Opcode = 3  // sent: replaces the whole presence
	OpVoiceStateUpdate        Opcode = 4  // sent: join, move between or leave voice channels
	OpVoiceServerPing         Opcode = 5  // no longer documented; kept so that 5 has a name
	OpResume                  Opcode = 6  // sent: continues a session
	OpReconnect               Opcode = 7  // received: go away and resume; may precede HELLO
	OpRequestGuildMembers     Opcode = 8  // sent
	OpInvalidSession          Opcode = 9  // received: d says whether the session can be resumed
	OpHello                   Opcode = 10 // received: carries heartbeat_interval
	OpHeartbeatACK            Opcode = 11 // received
	OpRequestSoundboardSounds Opcode = 31 // sent
	OpRequestChannelInfo      Opcode = 43 // sent
)

// String names the opcode for logs; an unknown one is its number.
func (o Opcode) String() string {
	switch o {
	case OpDispatch:
		return "dispatch"
	case OpHeartbeat:
		return "heartbeat"
	case OpIdentify:
		return "identify"
	case OpPresenceUpdate:
		return "presence update"
	case OpVoiceStateUpdate:
		return "voice state update"
	case OpVoiceServerPing:
		return "voice server ping"
	case OpResume:
		return "resume"
	case OpReconnect:
		return "reconnect"
	case OpRequestGuildMembers:
		return "request guild members"
	case OpInvalidSession:
		return "invalid session"
	case OpHello:
		return "hello"
	case OpHeartbeatACK:
		return "heartbeat ack"
	case OpRequestSoundboardSounds:
		return "request soundboard sounds"
	case OpRequestChannelInfo:
		return "request channel info"
	}
	return "op " + strconv.Itoa(int(o))
}
