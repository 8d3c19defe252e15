package transport

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// protocolVersion is raised when the handshake's body or the framing of rpc
// changes in a way that old nodes can't read.
const protocolVersion = 1

// magic begins every connection. Its first byte is neither a letter (an HTTP
// request) nor 0x16 or 0x15 (TLS), so that those can be told apart in errors.
var magic = [4]byte{0xB0, 'b', 'n', 'd'}

// kind says what a connection is for. Values from 0x80 are answers, so that a
// header that is reflected to its sender is never taken for one.
type kind byte

const (
	kindRPC    kind = 1
	kindRaft   kind = 2
	kindGossip kind = 3
	// kindStranger is of a process that has no certificate yet; see stranger.go.
	kindStranger kind = 4

	answerOK        kind = 0x80
	answerVersion   kind = 0x81
	answerCluster   kind = 0x82
	answerDuplicate kind = 0x83
	answerStale     kind = 0x84
	answerRefused   kind = 0x85
	answerUntrusted kind = 0x86
)

// reason maps an answer to the sentinel that callers see.
func (k kind) reason() error {
	switch k {
	case answerVersion:
		return ErrWrongVersion
	case answerCluster:
		return ErrWrongCluster
	case answerDuplicate:
		return ErrDuplicateID
	case answerStale:
		return ErrStaleIncarnation
	case answerUntrusted:
		return ErrUntrusted
	}
	return ErrRefused
}

// String names the kind for logs.
func (k kind) String() string {
	switch k {
	case kindRPC:
		return "rpc"
	case kindRaft:
		return "raft"
	case kindGossip:
		return "gossip"
	case kindStranger:
		return "join requests"
	}
	return fmt.Sprintf("kind(%#x)", byte(k))
}

// header is what each end says first. The dialling side says hello with one of
// the kinds; the other side answers with one of the answers.
//
//	magic[4] version[1] kind[1] len[2] | incarnation[8] cluster id addr note (each: len[1] bytes)
//
// The first eight bytes never change, so that versions can refuse each other
// with words. Bytes after the known fields are ignored: room for later ones.
type header struct {
	version     byte
	kind        kind
	incarnation uint64
	cluster     string
	id          string
	addr        string
	note        string // why it is refused; empty in a hello
}

const (
	headerPrefix  = 8
	maxHeaderBody = 2048
)

// The ways in which a header can be malformed.
var (
	errMagic     = errors.New("unknown first bytes")
	errTLS       = errors.New("the other end speaks TLS, this one does not")
	errTruncated = errors.New("truncated header")
	errOversize  = errors.New("oversize header")
)

// append encodes h. Strings above 255 bytes are clipped: ids and addresses are
// validated long before, and a note is only read by people.
func (h header) append(b []byte) []byte {
	b = append(b, magic[:]...)
	b = append(b, h.version, byte(h.kind), 0, 0)
	at := len(b)
	b = binary.BigEndian.AppendUint64(b, h.incarnation)
	for _, s := range [...]string{h.cluster, h.id, h.addr, h.note} {
		s = clip(s, 255)
		b = append(b, byte(len(s)))
		b = append(b, s...)
	}
	binary.BigEndian.PutUint16(b[at-2:], uint16(len(b)-at))
	return b
}

// readHeader reads one header and not a byte more.
func readHeader(r io.Reader) (header, error) {
	var prefix [headerPrefix]byte
	if _, err := io.ReadFull(r, prefix[:]); err != nil {
		return header{}, err
	}
	h, n, err := decodePrefix(prefix)
	if err != nil {
		return h, err
	}
	body := make([]byte, n)
	if _, err := io.ReadFull(r, body); err != nil {
		return h, err
	}
	if h.version != protocolVersion {
		return h, nil // its body is not ours to read
	}
	return h, h.decodeBody(body)
}

// decodePrefix reads the part that all versions share and the body's length.
func decodePrefix(p [headerPrefix]byte) (header, int, error) {
	if [4]byte(p[:4]) != magic {
		if (p[0] == 0x16 || p[0] == 0x15) && p[1] == 0x03 {
			return header{}, 0, errTLS
		}
		return header{}, 0, errMagic
	}
	n := int(binary.BigEndian.Uint16(p[6:]))
	if n > maxHeaderBody {
		return header{}, 0, errOversize
	}
	return header{version: p[4], kind: kind(p[5])}, n, nil
}

// decodeBody fills the fields of this protocol version.
func (h *header) decodeBody(b []byte) error {
	if len(b) < 8 {
		return errTruncated
	}
	h.incarnation, b = binary.BigEndian.Uint64(b), b[8:]
	for _, f := range [...]*string{&h.cluster, &h.id, &h.addr, &h.note} {
		if len(b) == 0 || len(b) < 1+int(b[0]) {
			return errTruncated
		}
		n := 1 + int(b[0])
		*f, b = string(b[1:n]), b[n:]
	}
	return nil
}
