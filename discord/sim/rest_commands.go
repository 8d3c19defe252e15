package sim

import (
	"encoding/json"
	"maps"
	"net/http"
	"sync"
)

// apps is the application commands, by scope: "" is global, else a guild's id.
type apps struct {
	mu     sync.Mutex // guards what follows
	scopes map[string]*table
	perms  map[string]raw
	ids    idGen
}

func newApps() *apps { return &apps{scopes: map[string]*table{}, perms: map[string]raw{}} }

func (a *apps) scope(name string) *table {
	t := a.scopes[name]
	if t == nil {
		fresh := newTable(0)
		t = &fresh
		a.scopes[name] = t
	}
	return t
}

func commandRoutes() []route {
	var out []route
	for _, base := range []string{"/applications/{app}", "/applications/{app}/guilds/{guild}"} {
		out = append(out,
			on("GET", base+"/commands", "commands.list", listCommands),
			on("POST", base+"/commands", "commands.create", createCommand),
			on("PUT", base+"/commands", "commands.put", putCommands),
			on("GET", base+"/commands/permissions", "commands.permissions", emptyList),
			on("GET", base+"/commands/{command}", "commands.get", getCommand),
			on("PATCH", base+"/commands/{command}", "commands.edit", editCommand),
			on("DELETE", base+"/commands/{command}", "commands.delete", dropCommand),
			on("GET", base+"/commands/{command}/permissions", "commands.permissions", getPermissions),
			on("PUT", base+"/commands/{command}/permissions", "commands.permissions", putPermissions),
		)
	}
	return out
}

// inApp runs f under the lock with the scope of the path; key is the command's id.
func (c *call) inApp(last bool, f func(t *table, scope string, key ID) reply) reply {
	a := c.srv.apps
	a.mu.Lock()
	defer a.mu.Unlock()
	if c.id(0) != BotID {
		return unknown(10002, "Application")
	}
	rest := c.p[1:]
	var key ID
	if last {
		key, rest = ParseID(rest[len(rest)-1]), rest[:len(rest)-1]
	}
	scope := ""
	if len(rest) > 0 {
		scope = rest[0]
	}
	t := a.scope(scope)
	if _, has := t.rows[key]; last && !has {
		return unknown(10063, "application command")
	}
	return f(t, scope, key)
}

func listCommands(c *call) reply {
	return c.inApp(false, func(t *table, _ string, _ ID) reply { return ok(t.array()) })
}

// upsert makes a command, or overwrites the one with the same name and type.
func (c *call) upsert(t *table, scope string, o obj) (raw, bool, bool) {
	name, _ := o["name"].(string)
	if name == "" {
		return nil, false, false
	}
	kind := json.Number("1")
	if n, has := o["type"].(json.Number); has {
		kind = n
	}
	var id ID
	for _, k := range t.keys {
		if x := decode(t.rows[k]); x["name"] == name && x["type"] == kind {
			id = k
		}
	}
	fresh := id == 0
	if fresh {
		id = c.srv.apps.ids.next()
	}
	full := obj{
		"id": id, "application_id": BotID, "version": c.srv.apps.ids.next(), "type": kind, "description": "",
		"default_member_permissions": nil, "name_localizations": nil, "description_localizations": nil, "nsfw": false,
		"integration_types": []int{0}, "contexts": nil,
	}
	maps.Copy(full, o)
	if scope != "" {
		full["guild_id"] = scope
	} else {
		full["dm_permission"] = true
	}
	full["type"] = kind
	t.put(id, encode(full))
	return t.rows[id], fresh, true
}

func createCommand(c *call) reply {
	return c.inApp(false, func(t *table, scope string, _ ID) reply {
		r, fresh, good := c.upsert(t, scope, c.fields())
		switch {
		case !good:
			return invalidForm("name", "BASE_TYPE_REQUIRED", "This field is required")
		case fresh:
			return created(r)
		}
		return ok(r)
	})
}

// putCommands replaces all commands of the scope; those that keep their name keep their id.
func putCommands(c *call) reply {
	var list []json.RawMessage
	if !c.json(&list) {
		return apiError(http.StatusBadRequest, 50035, "Invalid Form Body")
	}
	return c.inApp(false, func(t *table, scope string, _ ID) reply {
		keep := newTable(len(list))
		for _, r := range list {
			x, _, good := c.upsert(t, scope, decode(r))
			if !good {
				return invalidForm("name", "BASE_TYPE_REQUIRED", "This field is required")
			}
			id, _ := decode(x)["id"].(string)
			keep.put(ParseID(id), x)
		}
		*t = keep
		return ok(t.array())
	})
}

func getCommand(c *call) reply {
	return c.inApp(true, func(t *table, _ string, id ID) reply { return ok(t.rows[id]) })
}

func editCommand(c *call) reply {
	return c.inApp(true, func(t *table, _ string, id ID) reply {
		t.put(id, with(t.rows[id], c.fields()))
		return ok(t.rows[id])
	})
}

func dropCommand(c *call) reply {
	return c.inApp(true, func(t *table, _ string, id ID) reply {
		t.del(id)
		return noContent()
	})
}

func getPermissions(c *call) reply {
	return c.inApp(true, func(_ *table, scope string, id ID) reply {
		if r, has := c.srv.apps.perms[scope+"/"+id.String()]; has {
			return ok(r)
		}
		return unknown(10066, "application command permissions")
	})
}

func putPermissions(c *call) reply {
	return c.inApp(true, func(_ *table, scope string, id ID) reply {
		r := with(c.body, obj{"id": id, "application_id": BotID, "guild_id": scope})
		c.srv.apps.perms[scope+"/"+id.String()] = r
		return ok(r)
	})
}
