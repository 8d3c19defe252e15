package consensus

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// reportVersion is the first byte of an encoded report.
const reportVersion = 1

// maxIDBytes bounds a node's id on the wire.
const maxIDBytes = 255

var errReport = errors.New("malformed election report")

// encode appends: version, term, last term, last index (each a uvarint), then leader and voter (length, bytes).
func (a report) encode() []byte {
	b := []byte{reportVersion}
	b = binary.AppendUvarint(b, a.Term)
	b = binary.AppendUvarint(b, a.LastTerm)
	b = binary.AppendUvarint(b, a.LastIndex)
	for _, id := range []string{a.Leader, a.Voter} {
		b = binary.AppendUvarint(b, uint64(len(id)))
		b = append(b, id...)
	}
	return b
}

// decodeReport reads what encode wrote. It refuses trailing bytes.
func decodeReport(b []byte) (report, error) {
	if len(b) == 0 || b[0] != reportVersion {
		return report{}, fmt.Errorf("%w: unknown version", errReport)
	}
	d := decoder{rest: b[1:]}
	r := report{Term: d.uvarint(), LastTerm: d.uvarint(), LastIndex: d.uvarint(), Leader: d.id(), Voter: d.id()}
	if d.bad || len(d.rest) != 0 || r.Leader == "" || r.Voter == "" {
		return report{}, errReport
	}
	return r, nil
}

// decoder reads fields and remembers whether any was bad.
type decoder struct {
	rest []byte
	bad  bool
}

func (d *decoder) uvarint() uint64 {
	n, size := binary.Uvarint(d.rest)
	if size <= 0 {
		d.bad, d.rest = true, nil
		return 0
	}
	d.rest = d.rest[size:]
	return n
}

func (d *decoder) id() string {
	n := d.uvarint()
	if n > maxIDBytes || n > uint64(len(d.rest)) {
		d.bad, d.rest = true, nil
		return ""
	}
	id := string(d.rest[:n])
	d.rest = d.rest[n:]
	return id
}
