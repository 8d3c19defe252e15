package fsm

import (
	"fmt"
	"slices"
	"strings"
)

// preferPrefix begins a placement that names nodes.
const preferPrefix = "prefer:"

// Placement is a bot's placement as it is written in its configuration.
type Placement struct {
	// Prefer names the nodes that the bot is to run on: it runs on the first
	// group of which a node lives, spread over the nodes of that group. Empty
	// means spread over all nodes.
	Prefer [][]string
}

// ParsePlacement reads "spread", or "prefer:" and groups with commas between
// them, each of names with plus signs between them.
func ParsePlacement(text string) (Placement, error) {
	if text == "" || text == "spread" {
		return Placement{}, nil
	}
	list, ok := strings.CutPrefix(text, preferPrefix)
	if !ok {
		return Placement{}, fmt.Errorf("%q is neither spread nor prefer:NODE,NODE+NODE", text)
	}
	var p Placement
	var seen []string
	for group := range strings.SplitSeq(list, ",") {
		names := strings.Split(group, "+")
		for _, name := range names {
			if name == "" || strings.Trim(name, nodeNameLetters) != "" {
				return Placement{}, fmt.Errorf("%q: %q can't be a node's name", text, name)
			}
			if slices.Contains(seen, name) {
				return Placement{}, fmt.Errorf("%q names %s twice", text, name)
			}
			seen = append(seen, name)
		}
		p.Prefer = append(p.Prefer, names)
	}
	return p, nil
}

// nodeNameLetters are those of node ids.
const nodeNameLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"

// Group returns the place of a node among the groups: 0 for the first, and
// the number of groups for a node that none names.
func (p Placement) Group(id string) int {
	i := slices.IndexFunc(p.Prefer, func(names []string) bool { return slices.Contains(names, id) })
	if i < 0 {
		return len(p.Prefer)
	}
	return i
}

// Names returns all nodes that the placement names, in order.
func (p Placement) Names() []string { return slices.Concat(p.Prefer...) }
