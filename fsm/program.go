package fsm

import (
	"slices"
	"strings"
)

// BotProgram is what a node's program does for a bot.
type BotProgram struct {
	Bot string
	// Handlers lists the event types that have handlers, and their names.
	Handlers []Interest
}

// Program registers what a process runs. It is proposed before the process's
// Up, so that no event finds it an owner without a program.
//
// An event is handled by the handlers that the program of its shard's owner
// has. While versions of a program are replaced node by node, an event thus has
// the handlers of one of them, never of both or of none.
//
// Guard: no newer process of the node has registered.
type Program struct {
	Node NodeRef
	Bots []BotProgram
}

// Kind implements Command.
func (*Program) Kind() Kind { return KindProgram }

func (c *Program) encode(w *writer) {
	w.ref(c.Node)
	encodePrograms(w, c.Bots)
}

func (c *Program) decode(r *reader) { c.Node, c.Bots = r.ref(), decodePrograms(r) }

func encodePrograms(w *writer, bots []BotProgram) {
	w.uint(uint64(len(bots)))
	for _, b := range bots {
		w.string(b.Bot)
		encodeInterests(w, b.Handlers)
	}
}

func decodePrograms(r *reader) (bots []BotProgram) {
	for range r.count(2) {
		bots = append(bots, BotProgram{Bot: r.string(), Handlers: decodeInterests(r)})
	}
	return bots
}

func encodeInterests(w *writer, list []Interest) {
	w.uint(uint64(len(list)))
	for _, in := range list {
		w.string(in.Type)
		w.strings(in.Handlers)
	}
}

func decodeInterests(r *reader) (list []Interest) {
	for range r.count(2) {
		list = append(list, Interest{Type: r.string(), Handlers: r.strings()})
	}
	return list
}

func (c *Program) apply(s *State) Result {
	if c.Node.None() {
		return refused("a node needs an id")
	}
	if n := s.nodes[c.Node.ID]; n != nil && n.Inc > c.Node.Inc {
		return Result{Code: Refused, Version: n.Inc, Msg: "a newer process of this node is known"}
	}
	if p := s.programs[c.Node.ID]; p != nil && p.inc > c.Node.Inc {
		return Result{Code: Refused, Version: p.inc, Msg: "a newer process of this node is known"}
	}
	s.programs[c.Node.ID] = newProgram(c.Node.Inc, c.Bots)
	return Result{}
}

// program is what a node's process runs.
type program struct {
	inc  uint64
	bots map[string]handlerTable
}

// handlerTable maps an event type to the names of its handlers, sorted.
type handlerTable map[string][]string

func newHandlerTable(list []Interest) handlerTable {
	t := make(handlerTable, len(list))
	for _, in := range list {
		t[in.Type] = union(t[in.Type], in.Handlers)
	}
	return t
}

func (t handlerTable) list() []Interest {
	out := make([]Interest, 0, len(t))
	for _, name := range sortedNames(t) {
		out = append(out, Interest{Type: name, Handlers: t[name]})
	}
	return out
}

func newProgram(inc uint64, bots []BotProgram) *program {
	p := &program{inc: inc, bots: make(map[string]handlerTable, len(bots))}
	for _, b := range bots {
		p.bots[b.Bot] = newHandlerTable(b.Handlers)
	}
	return p
}

func (p *program) list() []BotProgram {
	out := make([]BotProgram, 0, len(p.bots))
	for _, name := range sortedNames(p.bots) {
		out = append(out, BotProgram{Bot: name, Handlers: p.bots[name].list()})
	}
	return out
}

// handlersOf returns the handlers of the program that a process runs. A process
// that registered none has those that the bot's interests name.
func (s *State) handlersOf(owner NodeRef, b *Bot) handlerTable {
	if p := s.programs[owner.ID]; p != nil && p.inc == owner.Inc {
		return p.bots[b.Name]
	}
	return b.interests
}

// HandlersOf returns the names of the handlers that events of a type get on a
// node's process.
func (s *State) HandlersOf(owner NodeRef, bot, event string) []string {
	b := s.bots[bot]
	if b == nil {
		return nil
	}
	return slices.Clone(s.handlersOf(owner, b)[event])
}

// sortedNames returns a map's keys in order.
func sortedNames[V any](m map[string]V) []string { return sortedKeys(m, strings.Compare) }
