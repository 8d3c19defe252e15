package fsm

import (
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/botnode/botnode/internal/mutant"
)

// Observer is told what each applied entry did. Its methods are called in log
// order on the applying goroutine while the state is locked: they must not
// block and must not call the Machine.
type Observer interface {
	// Applied reports the index of an entry and its changes to journals.
	// The slices are the observer's to keep.
	Applied(index uint64, changes Changes)
	// Restored reports that the whole state was replaced.
	Restored(index uint64)
}

// Machine is a State behind a lock: one goroutine applies, any may read.
type Machine struct {
	// Strict compares the digest with one computed from scratch after each
	// entry, and panics when they differ. For tests. Set before use.
	Strict bool
	// OnFatal is called with an error that this node must not go on after,
	// while the state is locked. Set before use; nil panics.
	OnFatal func(error)
	// HashEvery is how many entries lie between two hash points, the same on all
	// nodes of a cluster. Set before use; 0 for none.
	HashEvery uint64

	mu        sync.RWMutex // guards everything below
	state     *State
	index     uint64 // of the last applied entry
	hashes    hashes // what the state was at its hash points
	stopped   error  // why nothing is applied any more, or nil
	observers []Observer
	scratch   []byte        // for the commands of the next entry; used by the applying goroutine alone
	changed   chan struct{} // closed and replaced after each entry
}

// NewMachine returns a machine with an empty state.
func NewMachine() *Machine {
	return &Machine{HashEvery: DefaultHashEvery, state: NewState(), changed: make(chan struct{})}
}

// Observe adds an observer. Call it before the first entry is applied.
func (m *Machine) Observe(o Observer) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.observers = append(m.observers, o)
}

// Apply applies one log entry and returns a []Result, one a command. An entry
// that isn't one has a single result and no effect but on the index.
func (m *Machine) Apply(index uint64, entry []byte) any {
	// Before the lock: readers needn't wait for it.
	cmds, results, buf, err := parse(m.scratch, entry)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.stopped == nil && err != nil {
		m.fatal(fmt.Errorf("entry %d: %w", index, err))
	}
	if m.stopped != nil {
		// The state stays as it was before the entry that stopped the node.
		return []Result{refused("this node has stopped: " + m.stopped.Error())}
	}
	m.state.changes.reset()
	m.state.kept = false
	agreed := m.state.agreed.Index
	for i, c := range cmds {
		if c.cmd != nil {
			results[i] = m.state.judge(c)
		}
	}
	m.hashes.every = m.HashEvery
	m.hashes.passed(m.index, index, m.state.Digest)
	m.index = index
	for _, o := range m.observers {
		o.Applied(index, *m.state.changes)
	}
	m.wake()
	m.reuse(buf)
	if m.state.agreed.Index != agreed {
		m.compare()
	}
	if m.Strict && m.state.Digest() != m.state.Recompute() {
		m.fatal(fmt.Errorf("entry %d: the digest kept and the digest computed differ", index))
	}
	return results
}

// reuse takes an entry's buffer for a later entry, unless something keeps it. A
// buffer that one huge event made large is let go.
func (m *Machine) reuse(buf []byte) {
	switch {
	case buf == nil: // a small entry, which needed none
		return
	case m.state.kept:
		if len(buf) > 0 && cap(m.scratch) > 0 && &buf[0] == &m.scratch[:1][0] {
			m.scratch = nil // it is the state's now
		}
		return
	case cap(buf) > 2*MaxBatch:
		return
	}
	m.scratch = buf
	if m.Strict {
		clear(buf) // whoever refers to it after all is found out
	}
}

// wake tells all who wait for Changed.
func (m *Machine) wake() {
	close(m.changed)
	m.changed = make(chan struct{})
}

// fatal stops the machine: nothing is applied or captured from here on.
func (m *Machine) fatal(err error) {
	m.stopped = err
	if m.OnFatal == nil {
		panic(err)
	}
	m.OnFatal(err)
}

// parsed is a command with the generation that it was proposed under; cmd is
// nil for one that has its result already.
type parsed struct {
	generation uint64
	cmd        Command
}

// parse decodes the commands of an entry, into scratch if they fit, and answers
// those that are none. It returns the buffer that they refer to, if it isn't the
// entry. The error means that this version can't know what the entry does.
func parse(scratch, entry []byte) ([]parsed, []Result, []byte, error) {
	raws, buf, err := splitBatch(scratch, entry)
	if err != nil {
		// Equal on all nodes, since the bytes are.
		return nil, []Result{{Code: Malformed, Msg: err.Error()}}, nil, nil
	}
	cmds, results := make([]parsed, len(raws)), make([]Result, len(raws))
	for i, raw := range raws {
		if cmds[i], results[i], err = parseCommand(raw); err != nil {
			return nil, nil, nil, err
		}
	}
	return cmds, results, buf, nil
}

func parseCommand(raw []byte) (parsed, Result, error) {
	generation, cmd, err := Decode(raw)
	var unknown *UnknownKindError
	switch {
	case errors.As(err, &unknown):
		if unknown.Kind&Skippable != 0 {
			return parsed{}, refused("skipped: a kind that this version doesn't know"), nil
		}
		return parsed{}, Result{}, err
	case err != nil:
		return parsed{}, Result{Code: Malformed, Msg: err.Error()}, nil
	}
	if rules, ok := cmd.(*Rules); ok && rules.N > KnownRules {
		return parsed{}, Result{}, &NewerRulesError{Rules: rules.N}
	}
	return parsed{generation: generation, cmd: cmd}, Result{}, nil
}

// Apply applies one command. The error is of a kind that this version must not
// skip; everything else is a Result.
func (s *State) Apply(cmd []byte) (Result, error) {
	c, res, err := parseCommand(cmd)
	if c.cmd == nil {
		return res, err
	}
	return s.judge(c), nil
}

// judge applies a command if its generation is in force.
func (s *State) judge(c parsed) Result {
	if c.generation != s.Generation && !timeless(c.cmd) && !s.Mutant.Has(mutant.Generation) {
		return Result{Code: StaleGeneration, Version: s.Generation, Msg: "proposed under another generation"}
	}
	if !s.Allows(c.cmd.Kind()) {
		return notYet(c.cmd.Kind())
	}
	r := c.cmd.apply(s)
	s.kept = s.kept || keeps(c.cmd)
	if r.Code == OK {
		s.changes.note(c.cmd)
		if endsClients(c.cmd) {
			s.clientsRev++
		}
	}
	return r
}

// keeps reports whether the state may refer to a command's bytes after it was
// applied. Events say so themselves, when the journal takes one.
func keeps(cmd Command) bool {
	switch cmd := cmd.(type) {
	case *Events, *Fail, *Permit, *Clear, *Grant, *Up, *Down, *Disconnect, *Connect, *Import, *Sweep:
		return false
	case *Done:
		return len(cmd.Writes) > 0
	}
	return true
}

// timeless reports whether a command is judged under any generation.
func timeless(c Command) bool {
	switch c.Kind() {
	case KindRenew, KindInit:
		return true
	}
	return false
}

// Index returns the index of the last applied entry.
func (m *Machine) Index() uint64 {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.index
}

// Changed returns a channel that is closed after the next applied entry or
// restore.
func (m *Machine) Changed() <-chan struct{} {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.changed
}

// View calls f with the state held still. f must be quick, must not change
// the state, and may keep only what is documented as immutable.
func (m *Machine) View(f func(index uint64, s *State)) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	f(m.index, m.state)
}

// Capture holds the state still for a snapshot. It fails only once the machine
// has stopped.
func (m *Machine) Capture() (*Capture, error) {
	// The write lock, since a capture marks shared memory as shared.
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.stopped != nil {
		return nil, m.stopped
	}
	return m.state.capture(m.index), nil
}

// Restore replaces the state by a snapshot's. On an error the old one stays.
func (m *Machine) Restore(from io.Reader) error {
	next, index, err := ReadSnapshot(from)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	next.Mutant, next.clientsRev = m.state.Mutant, m.state.clientsRev+1
	m.state, m.index = next, index
	m.hashes.points = nil // of the state that is no more
	for _, o := range m.observers {
		o.Restored(index)
	}
	m.wake()
	return nil
}
