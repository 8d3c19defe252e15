package fsm

import (
	"slices"
	"testing"
)

func programOf(node NodeRef, handlers ...string) *Program {
	return &Program{Node: node, Bots: []BotProgram{{Bot: testBot, Handlers: []Interest{{Type: "MESSAGE_CREATE", Handlers: handlers}}}}}
}

// TestLateEventsKeepTheirHandlers shows that events of a process that died, which
// are applied when its death or its successor is known already, don't pass the
// handlers by: either they are applied with those of its program, or not at all,
// so that Discord sends them again.
func TestLateEventsKeepTheirHandlers(t *testing.T) {
	joe2 := NodeRef{"joe", 2}
	for name, after := range map[string]struct {
		cmds []Command
		want Code
	}{
		"nothing":                 {nil, OK},
		"the successor's program": {[]Command{programOf(joe2, "new")}, OK},
		"two programs":            {[]Command{programOf(joe2, "new"), programOf(NodeRef{"joe", 3}, "newest")}, OK},
		"its death":               {[]Command{&Down{Node: joe}}, Fenced},
		"its removal":             {[]Command{&Forget{ID: "joe"}}, Fenced},
		"its successor":           {[]Command{programOf(joe2, "new"), &Up{Node: joe2}}, Fenced},
	} {
		t.Run(name, func(t *testing.T) {
			b := setup(t)
			b.must(&Interests{Bot: testBot, Rev: b.bot().InterestsRev, List: []Interest{{Type: "MESSAGE_CREATE"}}}, programOf(joe, "old"))
			b.must(after.cmds...)
			if r := b.do(events(1, 1, message(2, 40)))[0]; r.Code != after.want {
				t.Errorf("events: %v, want %v", r.Code, after.want)
			}
			c, p := b.shard(shard0).C, b.pending()
			if c != 1 && (len(p) != 1 || !slices.Equal(p[0].Handlers, []string{"old"})) {
				t.Errorf("c is %d, and the entries are %+v", c, p)
			}
		})
	}
}

// TestProgramsDontPileUp shows that of each node the program in force is kept,
// and that of the process that is about to come.
func TestProgramsDontPileUp(t *testing.T) {
	b := setup(t)
	for inc := range uint64(5) {
		b.must(programOf(NodeRef{"joe", inc + 1}, "h"))
	}
	if n := len(b.state.programs); n != 2 {
		t.Errorf("%d programs before the Up", n)
	}
	b.must(&Up{Node: NodeRef{"joe", 5}})
	if n := len(b.state.programs); n != 1 {
		t.Errorf("%d programs after it", n)
	}
}
