package model

import (
	"fmt"
	"strings"

	"github.com/botnode/botnode/fsm"
)

// short returns the name of a value's type without its package.
func short(v any) string {
	name := fmt.Sprintf("%T", v)
	return name[strings.LastIndexByte(name, '.')+1:]
}

// describe prints a command for a trace.
func describe(c fsm.Command) string {
	switch c := c.(type) {
	case *fsm.Events:
		var numbers []string
		for _, e := range c.Evs {
			numbers = append(numbers, fmt.Sprintf("%d:%s", e.S, e.Type))
		}
		return fmt.Sprintf("Events %v epoch %d %s after %d jump=%v %v", c.Shard, c.Epoch, c.SID, c.Prev, c.Jump, numbers)
	case *fsm.Ready:
		return fmt.Sprintf("Ready %v epoch %d %s s=%d", c.Shard, c.Epoch, c.SID, c.S)
	case *fsm.Done:
		return fmt.Sprintf("Done %d %s by %s reads %v writes %d", c.Pos, c.Handler, c.Runner, c.Reads, len(c.Writes))
	case *fsm.Configure, *fsm.Interests:
		return short(c)
	}
	return fmt.Sprintf("%s%+v", short(c), c)
}
