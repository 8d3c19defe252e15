package sim

import "encoding/json"

// allPermissions is what everybody may do in this world.
const allPermissions = "2248473465835073"

// Types of options whose values are ids (interactions/application-commands.mdx).
const (
	optionSubCommand      = 1
	optionSubCommandGroup = 2
	optionUser            = 6
	optionChannel         = 7
	optionRole            = 8
)

// option is what resolve reads of a command's option.
type option struct {
	Type    int      `json:"type"`
	Value   any      `json:"value"`
	Options []option `json:"options"`
}

// resolve is the objects that the options of a command name by their ids, as
// Discord sends them along (interactions/receiving-and-responding.mdx, "Resolved
// Data Structure"); empty for none. The caller holds the world's lock.
func (g *guild) resolve(options []map[string]any) obj {
	out, list := obj{}, []option(nil)
	if json.Unmarshal(encode(options), &list) == nil { // what is no list of options names nothing
		g.resolveInto(out, list)
	}
	return out
}

func (g *guild) resolveInto(out obj, options []option) {
	for _, o := range options {
		value, _ := o.Value.(string)
		id := ParseID(value)
		switch o.Type {
		case optionSubCommand, optionSubCommandGroup:
			g.resolveInto(out, o.Options)
		case optionUser:
			r, found := g.members.get(id)
			if !found {
				continue
			}
			m := decode(r)
			put(out, "users", id, m["user"])
			for _, absent := range []string{"user", "deaf", "mute"} {
				delete(m, absent)
			}
			m["permissions"] = allPermissions
			put(out, "members", id, m)
		case optionChannel:
			if r, found := g.channels.rows[id]; found {
				put(out, "channels", id, with(r, obj{"permissions": allPermissions}))
			}
		case optionRole:
			if r, found := g.roles.rows[id]; found {
				put(out, "roles", id, r)
			}
		}
	}
}

// put adds an object to one of the maps by id in out.
func put(out obj, kind string, id ID, v any) {
	m, _ := out[kind].(obj)
	if m == nil {
		m = obj{}
		out[kind] = m
	}
	m[id.String()] = v
}
