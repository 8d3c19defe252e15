package membership

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/memberlist"
)

// Meta is what a node tells the others about itself.
type Meta struct {
	ID          string
	Incarnation uint64 // the number of this start of the node
	ClusterAddr string // host:port of the cluster port
	HTTPAddr    string // host:port of the admin API
	Version     string // of the program
	Rules       uint32 // highest `rules` number that the node can apply
	Weight      uint32 // share of shards relative to others; 0 stands for the default
	Flags       Flags
	Tags        map[string]string
}

// Flags are a node's yes-or-no facts.
type Flags uint8

// The flags. Bits that this version doesn't know are passed on unchanged.
const (
	Draining Flags = 1 << iota // takes no new shards
	Leaving                    // is leaving for good: when it goes silent, it has left
	Idle                       // runs, but has no raft yet
)

// Has reports whether all of x are set.
func (f Flags) Has(x Flags) bool { return f&x == x }

// metaVersion is the first byte of the encoding. Later fields are appended and
// skipped by older nodes; the byte changes only when that isn't possible.
const metaVersion = 1

// maxMeta is what memberlist carries.
const maxMeta = memberlist.MetaMaxSize

// maxName bounds id#incarnation as a memberlist name.
const maxName = 128

var (
	// ErrMetaTooLarge is returned when a node's facts don't fit into gossip.
	ErrMetaTooLarge = errors.New("node metadata too large for gossip: shorten the tags, the id or the addresses")
	errMetaSyntax   = errors.New("malformed node metadata")
)

// encode returns the bytes that gossip carries. Equal metas have equal bytes.
func (m Meta) encode() ([]byte, error) {
	b := []byte{metaVersion, byte(m.Flags)}
	b = binary.AppendUvarint(b, m.Incarnation)
	b = binary.AppendUvarint(b, uint64(m.Rules))
	b = binary.AppendUvarint(b, uint64(m.Weight))
	for _, s := range [...]string{m.ID, m.ClusterAddr, m.HTTPAddr, m.Version} {
		b = appendString(b, s)
	}
	b = binary.AppendUvarint(b, uint64(len(m.Tags)))
	for _, k := range slices.Sorted(maps.Keys(m.Tags)) {
		b = appendString(appendString(b, k), m.Tags[k])
	}
	if len(b) > maxMeta {
		return nil, fmt.Errorf("%w (%d of %d bytes)", ErrMetaTooLarge, len(b), maxMeta)
	}
	return b, nil
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// decodeMeta is the inverse of encode.
func decodeMeta(b []byte) (Meta, error) {
	if len(b) < 2 || len(b) > maxMeta {
		return Meta{}, errMetaSyntax
	}
	if b[0] != metaVersion {
		return Meta{}, fmt.Errorf("%w: version %d", errMetaSyntax, b[0])
	}
	r := metaReader{b: b[2:]}
	m := Meta{
		Flags:       Flags(b[1]),
		Incarnation: r.uint(64),
		Rules:       uint32(r.uint(32)),
		Weight:      uint32(r.uint(32)),
		ID:          r.string(),
		ClusterAddr: r.string(),
		HTTPAddr:    r.string(),
		Version:     r.string(),
	}
	for n := r.uint(16); n > 0 && !r.bad; n-- {
		if m.Tags == nil {
			m.Tags = make(map[string]string)
		}
		k := r.string()
		m.Tags[k] = r.string()
	}
	if r.bad || m.ID == "" {
		return Meta{}, errMetaSyntax
	}
	return m, nil
}

// metaReader reads fields until one is malformed; from then on all are zero.
type metaReader struct {
	b   []byte
	bad bool
}

func (r *metaReader) uint(bits int) uint64 {
	v, n := binary.Uvarint(r.b)
	if r.bad || n <= 0 || (bits < 64 && v>>bits != 0) {
		r.bad = true
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *metaReader) string() string {
	n := r.uint(16)
	if r.bad || n > uint64(len(r.b)) {
		r.bad = true
		return ""
	}
	s := string(r.b[:n])
	r.b = r.b[n:]
	return s
}

// name is what memberlist calls the node. Each incarnation is a node of its own
// to memberlist: one that comes back under another address needs no permission
// of its predecessor, and the predecessor dies by itself.
func (m Meta) name() string { return m.ID + "#" + strconv.FormatUint(m.Incarnation, 10) }

// splitName is the inverse of name.
func splitName(name string) (id string, incarnation uint64, ok bool) {
	i := strings.LastIndexByte(name, '#')
	if i <= 0 {
		return "", 0, false
	}
	n, err := strconv.ParseUint(name[i+1:], 10, 64)
	return name[:i], n, err == nil
}
