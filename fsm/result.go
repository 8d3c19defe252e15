package fsm

// Code says what became of a command.
type Code uint8

// The codes of a Result. Only OK changed the state.
const (
	// OK is the answer of a command that took effect, and of its repeats
	// where the effect is still visible.
	OK Code = iota
	// Old answers Events, Done, Fail and Clear that have nothing left to do.
	Old
	// Gap answers Events that do not follow the committed sequence C.
	Gap
	// Fenced answers a command of an epoch that is over; Epoch is the one in force.
	Fenced
	// Conflict answers a Done or a write whose read versions have changed.
	Conflict
	// Refused answers any other failed guard; Msg says which.
	Refused
	// StaleGeneration answers a command from before a restore or a recovery.
	StaleGeneration
	// Malformed answers bytes that are not a command.
	Malformed
)

var codeNames = [...]string{"ok", "old", "gap", "fenced", "conflict", "refused", "stale generation", "malformed"}

// String returns the code's name.
func (c Code) String() string {
	if int(c) < len(codeNames) {
		return codeNames[c]
	}
	return "unknown"
}

// Result is what Apply says of one command. It is equal on all nodes.
type Result struct {
	Code    Code
	C       int64  // of Events and Ready: the committed sequence after the command
	Epoch   uint64 // of shard commands: the epoch in force
	Version uint64 // of writes: the version that they made, or on a conflict the one in force
	Msg     string // why, for a person
}

func refused(msg string) Result { return Result{Code: Refused, Msg: msg} }

func (r Result) encode(w *writer) {
	w.byte(byte(r.Code))
	w.int(r.C)
	w.uint(r.Epoch)
	w.uint(r.Version)
	w.string(r.Msg)
}

func (r *Result) decode(rd *reader) {
	r.Code = Code(rd.byte())
	r.C = rd.int()
	r.Epoch = rd.uint()
	r.Version = rd.uint()
	r.Msg = rd.string()
}

// EncodeResult returns the bytes that carry r between nodes.
func EncodeResult(r Result) []byte {
	var w writer
	r.encode(&w)
	return w.b
}

// DecodeResult is the inverse of EncodeResult.
func DecodeResult(b []byte) (Result, error) {
	var r Result
	rd := reader{b: b}
	r.decode(&rd)
	return r, rd.end()
}

// EncodeResults returns the bytes that carry a batch's results between nodes.
func EncodeResults(rs []Result) []byte {
	var w writer
	w.uint(uint64(len(rs)))
	for _, r := range rs {
		w.bytes(EncodeResult(r))
	}
	return w.b
}

// SplitResults cuts the bytes of EncodeResults into one slice a command. It
// fails unless there are exactly n.
func SplitResults(b []byte, n int) ([][]byte, error) {
	rd := reader{b: b}
	if got := rd.count(1); got != n {
		rd.fail("a batch with another number of results")
		return nil, rd.err
	}
	out := make([][]byte, 0, n)
	for range n {
		out = append(out, rd.bytes())
	}
	return out, rd.end()
}
