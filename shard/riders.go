package shard

import "github.com/botnode/botnode/fsm"

// riders is a Proposer that can hold back what is in no hurry until there is
// a batch to ride in, for a few milliseconds.
type riders interface {
	SubmitRider(cmd []byte, done func(res []byte, err error))
	FlushRiders()
}

// acknowledgeLater is acknowledge for an entry whose lane may go on before the
// acknowledgement is applied: it costs no log entry of its own while others
// are on their way. A death in these milliseconds has the entry run again, as
// it would a moment earlier.
func (d *dispatcher) acknowledgeLater(e *fsm.Entry, generation uint64, cmd fsm.Command) {
	r, ok := d.m.o.Proposer.(riders)
	if !ok {
		d.acknowledge(e, generation, cmd)
		return
	}
	b := fsm.Encode(generation, cmd)
	r.SubmitRider(b, func(_ []byte, err error) {
		if err != nil {
			d.mail.push(dispatchInput{repeat: &repeat{entry: e, cmd: b, at: d.m.now() + d.m.o.Timing.Retry}})
		}
	})
}

// hurry sends what is held back: after a change of owners, lanes of another
// node may wait for it.
func (m *Manager) hurry() {
	if r, ok := m.o.Proposer.(riders); ok {
		r.FlushRiders()
	}
}
