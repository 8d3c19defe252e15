package node

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/botnode/botnode/admin"
	"github.com/botnode/botnode/fsm"
	"github.com/botnode/botnode/trust"
)

// ProposeRaw proposes an encoded command through this node.
func (n *Node) ProposeRaw(ctx context.Context, cmd []byte) (fsm.Result, error) {
	b, err := n.proposer.Propose(ctx, cmd)
	if err != nil {
		return fsm.Result{}, err
	}
	return fsm.DecodeResult(b)
}

// RunSteps runs the first n steps of a recovery, as one that is cut off does, and
// reports whether there are more.
func (r *Recovery) RunSteps(n int) (more bool, err error) {
	steps := r.steps(false)
	for _, step := range steps[:n] {
		if err := step(); err != nil {
			return false, err
		}
	}
	return n < len(steps), nil
}

// RestoreAfter restores a backup at the leader, and calls f between the moment at
// which it looks at the cluster's state and that at which it replaces it.
func (n *Node) RestoreAfter(ctx context.Context, from io.Reader, f func()) error {
	b, err := n.receive(from)
	if err != nil {
		return err
	}
	term, _ := n.raft.Load().Established()
	p, err := n.prepare(b, admin.RestoreOptions{})
	if err != nil {
		return err
	}
	f()
	return errors.Join(n.install(ctx, p, term), p.file.Close())
}

// Leaves is how many leaves and stops are under way.
func (n *Node) Leaves() int32 { return n.leaving.Load() }

// Abdicate waits until another node leads.
var Abdicate = abdicate

// RulesAllow is whether a backup of some rules may be restored.
var RulesAllow = rulesAllow

// TakeSnapshot has raft take a snapshot, as it does once its log has grown.
func (n *Node) TakeSnapshot(ctx context.Context) error { return n.raft.Load().Snapshot(ctx) }

// Ask calls the node at addr, over the connection that stands if there is one.
func (n *Node) Ask(ctx context.Context, addr string) error {
	_, err := n.askReport(ctx, addr)
	return err
}

// Enrol has the node admit a machine of an id at addr with a join token, and
// returns the number of its enrolment.
func (n *Node) Enrol(ctx context.Context, token, id, addr string) (uint64, error) {
	t, err := trust.ParseJoinToken(token)
	if err != nil {
		return 0, err
	}
	r, err := trust.NewRequest(nil)
	if err != nil {
		return 0, err
	}
	g, err := n.grant(ctx, enrolRequest{Token: t.ID, Secret: t.Secret, ID: id, CSR: r.CSR}, addr)
	if err != nil {
		return 0, err
	}
	k, err := trust.OpenKeychain(new(trust.Memory), id)
	if err == nil {
		err = k.Accept(r, g)
	}
	return k.Holder().Enrolment, err
}

// ForgetEnrolmentsAfter sets how long a machine with a certificate has to be admitted.
func (n *Node) ForgetEnrolmentsAfter(grace time.Duration) { n.enrolGrace.Store(int64(grace)) }

// EnrolOnly gets the node a certificate from the node at peer, as a join does first.
func (n *Node) EnrolOnly(ctx context.Context, peer, token string) error {
	return n.enrol(ctx, peer, token)
}

// LoseKeys empties the part of a node's memory that is its trust.json.
func (m *Memory) LoseKeys() { m.trust = new(trust.Memory) }

// Decide proposes a command as the leader of a term, as package shard does.
func (n *Node) Decide(ctx context.Context, term uint64, cmd fsm.Command) error {
	generation := uint64(0)
	n.State(func(s *fsm.State) { generation = s.Generation })
	_, err := n.late.Lead(term, fsm.Encode(generation, cmd))(ctx)
	return err
}

// Term returns the term that this node leads, 0 for none.
func (n *Node) Term() uint64 {
	term, _ := n.raft.Load().Established()
	return term
}

// MachineMemory is the memory that a backup may take.
func MachineMemory() uint64 { return uint64(machineMemory()) }

// MemoryRoom is whether a backup of which so much was unpacked has room in a memory.
func MemoryRoom(memory uint64, unpacked int64) error { return memoryRoom(memory).check(unpacked) }

// MemoryLimits names the files with limits of the memory.
var MemoryLimits = memoryLimits

// FillDisk writes 2 GiB where wrote says what is free after so many bytes.
func FillDisk(wrote func(int) (uint64, bool)) (total int, err error) {
	last := 0
	d := &diskRoom{to: io.Discard, free: func() (uint64, bool) { n := total - last; last = total; return wrote(n) }}
	for piece := make([]byte, 1<<20); total < 2<<30; total += len(piece) {
		if _, err := d.Write(piece); err != nil {
			return total, err
		}
	}
	return total, nil
}

// AskToJoin asks the node at addr to decide on a joiner that says it knows some rules,
// and to admit it unless it is only asked.
func (n *Node) AskToJoin(ctx context.Context, addr, joiner string, rules uint64, prepare bool) error {
	_, err := n.ask(ctx, addr, clusterRequest{Kind: "join", ID: joiner, Addr: "127.0.0.1:1", Incarnation: 1, Rules: rules, Prepare: prepare})
	return err
}
