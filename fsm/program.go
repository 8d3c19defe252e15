package fsm

import (
	"cmp"
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
	for ref := range s.programs {
		if ref.ID == c.Node.ID && ref.Inc > c.Node.Inc {
			return Result{Code: Refused, Version: ref.Inc, Msg: "a newer process of this node is known"}
		}
	}
	s.forgetPrograms(c.Node)
	s.programs[c.Node] = newHandlersByBot(c.Bots)
	return Result{}
}

// forgetPrograms drops the programs of a node's processes that came before one,
// but for that of the process that is in force until then: events of its may
// still be on their way.
func (s *State) forgetPrograms(before NodeRef) {
	var inForce uint64
	if n := s.nodes[before.ID]; n != nil {
		inForce = n.Inc
	}
	for ref := range s.programs {
		if ref.ID == before.ID && ref.Inc < before.Inc && ref.Inc != inForce {
			delete(s.programs, ref)
		}
	}
}

// sortedPrograms returns the processes whose programs are known, in order.
func (s *State) sortedPrograms() []NodeRef {
	return sortedKeys(s.programs, func(x, y NodeRef) int {
		return cmp.Or(strings.Compare(x.ID, y.ID), cmp.Compare(x.Inc, y.Inc))
	})
}

// handlersByBot is a process's program.
type handlersByBot map[string]handlerTable

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

func newHandlersByBot(bots []BotProgram) handlersByBot {
	p := make(handlersByBot, len(bots))
	for _, b := range bots {
		p[b.Bot] = newHandlerTable(b.Handlers)
	}
	return p
}

func (p handlersByBot) list() []BotProgram {
	out := make([]BotProgram, 0, len(p))
	for _, name := range sortedNames(p) {
		out = append(out, BotProgram{Bot: name, Handlers: p[name].list()})
	}
	return out
}

// handlersOf returns the handlers of the program that a process runs. A process
// that registered none has those that the bot's interests name.
func (s *State) handlersOf(owner NodeRef, b *Bot) handlerTable {
	if p, ok := s.programs[owner]; ok {
		return p[b.Name]
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
