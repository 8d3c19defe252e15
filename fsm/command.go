package fsm

import "fmt"

// Kind is the first byte of a command.
type Kind uint8

// Skippable is the bit of a kind that a node may skip when it doesn't know
// it. Any other unknown kind stops the node rather than let it diverge.
const Skippable Kind = 0x80

// The kinds of command. Numbers are part of the log format: they are never
// reused, and golden bytes in the tests hold their encoding.
const (
	KindInit       Kind = 1
	KindUp         Kind = 2
	KindDown       Kind = 3
	KindForget     Kind = 4
	KindDrain      Kind = 5
	KindRules      Kind = 6
	KindRenew      Kind = 7
	KindConfigure  Kind = 10
	KindLayout     Kind = 11
	KindInterests  Kind = 12
	KindBudget     Kind = 13
	KindReidentify Kind = 14
	KindSweep      Kind = 15
	KindGrant      Kind = 20
	KindPermit     Kind = 21
	KindClear      Kind = 22
	KindReady      Kind = 23
	KindEvents     Kind = 24
	KindLost       Kind = 25
	KindDone       Kind = 30
	KindFail       Kind = 31
	KindDead       Kind = 32
	KindProgram    Kind = 33
	KindTick       Kind = 34
	KindPresence   Kind = 35
	KindKVWrite    Kind = 40
	KindExpire     Kind = 41
	KindLock       Kind = 42
	KindUnlock     Kind = 43

	// Of shards that an operator connects by hand.
	KindDisconnect Kind = 28
	KindConnect    Kind = 29
	KindImport     Kind = 50
	KindEnlist     Kind = 8
	KindPin        Kind = 26

	// Of the proxy's clients.
	KindPutClientKey  Kind = 60
	KindDropClientKey Kind = 61
	KindOpenClient    Kind = 62
	KindAttachClient  Kind = 63
	KindTouchClient   Kind = 64
	KindCloseClient   Kind = 65
	KindExpireClients Kind = 66

	// Of certificates and the cluster's secret.
	KindCharter       Kind = 70
	KindPutJoinToken  Kind = 71
	KindDropJoinToken Kind = 72
	KindEnrol         Kind = 73
	KindHold          Kind = 74
	KindRotate        Kind = 75

	// Of who may do what at the admin API, and of the bots' tokens.
	KindPutAdminToken  Kind = 80
	KindDropAdminToken Kind = 81
	KindSetBotToken    Kind = 83
	KindStateHash      Kind = 85
)

// Command is one change of the state. Its encoding, its guard and its effect
// stand in one place; see the file of each type.
type Command interface {
	// Kind is the command's first byte.
	Kind() Kind
	encode(w *writer)
	decode(r *reader)
	// apply judges the guard and, if it holds, has its effect. It must not
	// keep slices that it can reach unless it says that it owns them.
	apply(s *State) Result
}

// table lists every command that this version knows.
var table = map[Kind]func() Command{
	KindInit:       func() Command { return new(Init) },
	KindUp:         func() Command { return new(Up) },
	KindDown:       func() Command { return new(Down) },
	KindForget:     func() Command { return new(Forget) },
	KindDrain:      func() Command { return new(Drain) },
	KindRules:      func() Command { return new(Rules) },
	KindRenew:      func() Command { return new(Renew) },
	KindConfigure:  func() Command { return new(Configure) },
	KindLayout:     func() Command { return new(Layout) },
	KindInterests:  func() Command { return new(Interests) },
	KindBudget:     func() Command { return new(Budget) },
	KindReidentify: func() Command { return new(Reidentify) },
	KindSweep:      func() Command { return new(Sweep) },
	KindGrant:      func() Command { return new(Grant) },
	KindPermit:     func() Command { return new(Permit) },
	KindClear:      func() Command { return new(Clear) },
	KindReady:      func() Command { return new(Ready) },
	KindEvents:     func() Command { return new(Events) },
	KindLost:       func() Command { return new(Lost) },
	KindDone:       func() Command { return new(Done) },
	KindFail:       func() Command { return new(Fail) },
	KindDead:       func() Command { return new(Dead) },
	KindProgram:    func() Command { return new(Program) },
	KindTick:       func() Command { return new(Tick) },
	KindPresence:   func() Command { return new(Presence) },
	KindKVWrite:    func() Command { return new(KVWrite) },
	KindExpire:     func() Command { return new(Expire) },
	KindLock:       func() Command { return new(Lock) },
	KindUnlock:     func() Command { return new(Unlock) },

	KindDisconnect: func() Command { return new(Disconnect) },
	KindConnect:    func() Command { return new(Connect) },
	KindImport:     func() Command { return new(Import) },
	KindEnlist:     func() Command { return new(Enlist) },
	KindPin:        func() Command { return new(Pin) },

	KindPutClientKey:  func() Command { return new(PutClientKey) },
	KindDropClientKey: func() Command { return new(DropClientKey) },
	KindOpenClient:    func() Command { return new(OpenClient) },
	KindAttachClient:  func() Command { return new(AttachClient) },
	KindTouchClient:   func() Command { return new(TouchClient) },
	KindCloseClient:   func() Command { return new(CloseClient) },
	KindExpireClients: func() Command { return new(ExpireClients) },

	KindCharter:       func() Command { return new(Charter) },
	KindPutJoinToken:  func() Command { return new(PutJoinToken) },
	KindDropJoinToken: func() Command { return new(DropJoinToken) },
	KindEnrol:         func() Command { return new(Enrol) },
	KindHold:          func() Command { return new(Hold) },
	KindRotate:        func() Command { return new(Rotate) },

	KindPutAdminToken:  func() Command { return new(PutAdminToken) },
	KindDropAdminToken: func() Command { return new(DropAdminToken) },
	KindSetBotToken:    func() Command { return new(SetBotToken) },
	KindStateHash:      func() Command { return new(StateHash) },
}

// UnknownKindError reports a command of a kind that this version does not
// know and must not skip. The node that meets it has to stop.
type UnknownKindError struct{ Kind Kind }

// Error implements error.
func (e *UnknownKindError) Error() string {
	return fmt.Sprintf("fsm: command of unknown kind %d: this node runs an older version than the cluster; upgrade it", e.Kind)
}

// NewerRulesError reports rules that this version does not have the effects
// of. The node that meets them has to stop.
type NewerRulesError struct{ Rules uint64 }

// Error implements error.
func (e *NewerRulesError) Error() string {
	return fmt.Sprintf("fsm: rules %d: this node runs an older version than the cluster; upgrade it", e.Rules)
}

// Encode returns the bytes of cmd, made under the given generation.
func Encode(generation uint64, cmd Command) []byte {
	w := writer{b: make([]byte, 0, sizeHint(cmd))}
	w.byte(byte(cmd.Kind()))
	w.uint(generation)
	cmd.encode(&w)
	return w.b
}

// sizeHint is about how long a command's encoding is. Batches of events are
// large: growing into them would copy each twice.
func sizeHint(cmd Command) int {
	size := 128
	switch c := cmd.(type) {
	case *Events:
		for i := range c.Evs {
			size += len(c.Evs[i].Raw) + len(c.Evs[i].Slices) + 32
		}
	case *Ready:
		size += len(c.Raw)
	case *Import:
		for _, e := range c.Evs {
			size += len(e.Raw) + 32
		}
	}
	return size
}

// Decode is the inverse of Encode. Slices of the command refer to b.
func Decode(b []byte) (generation uint64, cmd Command, err error) {
	r := reader{b: b}
	kind := Kind(r.byte())
	generation = r.uint()
	if r.err != nil {
		return 0, nil, r.err
	}
	blank, ok := table[kind]
	if !ok {
		return generation, nil, &UnknownKindError{Kind: kind}
	}
	cmd = blank()
	cmd.decode(&r)
	return generation, cmd, r.end()
}
