package consensus

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// The first byte of a request says what is asked of the leader.
const (
	// askEntry: session (8 bytes), stream, sequence number (uvarints), then the entry.
	askEntry = 1
	// askIndex: nothing more. The answer is a linearizable index.
	askIndex = 2
)

// The first byte of an answer is the outcome. It travels in the answer, not as an error of the call, so that its class
// survives the wire.
const (
	// gotOK: index (uvarint), then the encoded result.
	gotOK = 0
	// gotNotLeader: surely not appended.
	gotNotLeader = 1
	// gotUnknown: it may or may not commit; then a text.
	gotUnknown = 2
	// gotTooLarge: the leader will never take it; then a text.
	gotTooLarge = 3
)

// place is where an entry stands among those of its sender. Entries of one stream are appended in the order of seq,
// from 0 without a hole. A sender starts the next stream when it can't tell what became of the one before. Sessions
// differ between two lives of a sender.
type place struct {
	session     uint64
	stream, seq uint64
}

var errForward = errors.New("malformed forwarded request")

// ForwardOverhead is how many bytes a request has at most besides the entry that it brings to the leader.
const ForwardOverhead = 1 + 8 + 2*binary.MaxVarintLen64

func encodeEntry(p place, entry []byte) []byte {
	b := make([]byte, 0, len(entry)+ForwardOverhead)
	b = append(b, askEntry)
	b = binary.BigEndian.AppendUint64(b, p.session)
	b = binary.AppendUvarint(b, p.stream)
	b = binary.AppendUvarint(b, p.seq)
	return append(b, entry...)
}

// decodeEntry reads what follows the first byte. The entry shares b's memory.
func decodeEntry(b []byte) (place, []byte, error) {
	if len(b) < 8 {
		return place{}, nil, errForward
	}
	d := decoder{rest: b[8:]}
	p := place{session: binary.BigEndian.Uint64(b), stream: d.uvarint(), seq: d.uvarint()}
	if d.bad {
		return place{}, nil, errForward
	}
	return p, d.rest, nil
}

// encodeOutcome turns the outcome of a proposal, or of a read, into an answer.
func encodeOutcome(index uint64, res []byte, err error) []byte {
	switch {
	case err == nil:
		b := append(make([]byte, 0, len(res)+1+binary.MaxVarintLen64), gotOK)
		return append(binary.AppendUvarint(b, index), res...)
	case errors.Is(err, ErrTooLarge):
		return append([]byte{gotTooLarge}, err.Error()...)
	case NotAppended(err):
		return []byte{gotNotLeader}
	default:
		return append([]byte{gotUnknown}, err.Error()...)
	}
}

// decodeOutcome reads an answer. What it can't read is an unknown outcome.
func decodeOutcome(b []byte) (index uint64, res []byte, err error) {
	if len(b) == 0 {
		return 0, nil, unknown(errForward)
	}
	switch b[0] {
	case gotOK:
		d := decoder{rest: b[1:]}
		if index = d.uvarint(); d.bad {
			return 0, nil, unknown(errForward)
		}
		return index, d.rest, nil
	case gotNotLeader:
		return 0, nil, fmt.Errorf("%w, says the node that was asked", ErrNotLeader)
	case gotTooLarge:
		return 0, nil, fmt.Errorf("%w, says the leader: %s", ErrTooLarge, b[1:])
	case gotUnknown:
		return 0, nil, fmt.Errorf("%w, says the leader: %s", ErrUnknownOutcome, b[1:])
	default:
		return 0, nil, unknown(errForward)
	}
}
