package sim

import (
	"fmt"
	"math/rand/v2"
	"strconv"
)

// memberSet is the members of a guild. Members that never changed are not
// stored but rendered from their number, so that a guild may have a million.
type memberSet struct {
	first   int64 // number, in the whole world, of member 0
	n       int   // members 0 <= i < n were there from the start; 0 is the bot
	roles   []ID
	gone    map[int]bool
	changed map[ID]raw // members that changed, and later ones
	extra   []ID       // members that joined later
	// version rises with every change: rendered authors are stale then.
	version int
}

func userID(number int64) ID { return ID(userMS<<22 + number*userStep) }

// count is the number of members.
func (m *memberSet) count() int { return m.n - len(m.gone) + len(m.extra) }

// index is the number of an original member.
func (m *memberSet) index(id ID) (int, bool) {
	if id == BotID {
		return 0, true
	}
	off := int64(id) - userMS<<22
	if off < 0 || off%userStep != 0 {
		return 0, false
	}
	i := off/userStep - m.first
	return int(i), i > 0 && i < int64(m.n)
}

func (m *memberSet) id(i int) ID {
	if i == 0 {
		return BotID
	}
	return userID(m.first + int64(i))
}

// get returns a member.
func (m *memberSet) get(id ID) (raw, bool) {
	if r, ok := m.changed[id]; ok {
		return r, true
	}
	i, ok := m.index(id)
	if !ok || m.gone[i] {
		return nil, false
	}
	return m.render(i), true
}

// render is original member i as it was at the start.
func (m *memberSet) render(i int) raw {
	var roles []ID
	if len(m.roles) > 0 {
		roles = append(roles, m.roles[i%len(m.roles)])
		if second := m.roles[(i/3)%len(m.roles)]; i%3 == 0 && second != roles[0] {
			roles = append(roles, second)
		}
	}
	return newMember(renderUser(m.id(i), m.first+int64(i)), roles, 2017+i%8, i%7 == 3)
}

func newMember(user raw, roles []ID, year int, nick bool) raw {
	b := make([]byte, 0, 560)
	b = append(b, `{"user":`...)
	b = append(b, user...)
	b = append(b, `,"nick":`...)
	if nick {
		b = append(b, `"Nick the `...)
		b = strconv.AppendInt(b, int64(year), 10)
		b = append(b, '"')
	} else {
		b = append(b, `null`...)
	}
	b = append(b, `,"avatar":null,"banner":null,"roles":[`...)
	for i, r := range roles {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, r.quoted()...)
	}
	b = fmt.Appendf(b, `],"joined_at":"%d-05-17T09:41:23.123000+00:00","premium_since":null,"deaf":false,"mute":false,`+
		`"flags":0,"pending":false,"unusual_dm_activity_until":null,"communication_disabled_until":null}`, year)
	return b
}

// renderUser is a user object (resources/user.mdx); the bot is the only bot.
func renderUser(id ID, number int64) raw {
	if id == BotID {
		return botUser
	}
	return fmt.Appendf(nil, `{"id":"%d","username":"user%d","global_name":"User %d","avatar":"%016x%016x",`+
		`"discriminator":"0","public_flags":%d,"avatar_decoration_data":null,"primary_guild":null,"clan":null}`,
		id, number, number, uint64(number)*0x9e3779b97f4a7c15, uint64(number)*0xbf58476d1ce4e5b9, (number%3)*64)
}

// botUser is the bot's user object as others see it.
var botUser = raw(`{"id":"` + BotID.String() + `","username":"simbot","global_name":null,"avatar":null,` +
	`"discriminator":"0001","public_flags":0,"avatar_decoration_data":null,"primary_guild":null,"clan":null,"bot":true}`)

// set stores a changed or a new member.
func (m *memberSet) set(id ID, r raw) {
	if _, ok := m.get(id); !ok {
		if i, was := m.index(id); was {
			delete(m.gone, i)
		} else {
			m.extra = append(m.extra, id)
		}
	}
	m.changed[id] = r
	m.version++
}

func (m *memberSet) del(id ID) {
	if _, ok := m.get(id); !ok {
		return
	}
	m.version++
	delete(m.changed, id)
	if i, ok := m.index(id); ok {
		m.gone[i] = true
		return
	}
	for i, x := range m.extra {
		if x == id {
			m.extra = append(m.extra[:i], m.extra[i+1:]...)
			return
		}
	}
}

// each calls f for every member in a stable order until it returns false.
func (m *memberSet) each(f func(ID, raw) bool) {
	for i := range m.n {
		if m.gone[i] {
			continue
		}
		id := m.id(i)
		r, ok := m.changed[id]
		if !ok {
			r = m.render(i)
		}
		if !f(id, r) {
			return
		}
	}
	for _, id := range m.extra {
		if !f(id, m.changed[id]) {
			return
		}
	}
}

// ids is the members in the order of each, without rendering them.
func (m *memberSet) ids() []ID {
	out := make([]ID, 0, m.count())
	for i := range m.n {
		if !m.gone[i] {
			out = append(out, m.id(i))
		}
	}
	return append(out, m.extra...)
}

// pick is a random member that isn't the bot, or 0 when there is none.
func (m *memberSet) pick(rng *rand.Rand) ID {
	total := m.n + len(m.extra)
	for range 32 {
		i := rng.IntN(max(1, total))
		switch {
		case i >= m.n:
			return m.extra[i-m.n]
		case i > 0 && !m.gone[i]:
			return m.id(i)
		}
	}
	return 0
}

// author is the first original member that is still there and isn't the bot,
// counted from i, or 0.
func (m *memberSet) author(i int) ID {
	for k := range min(m.n, 64) {
		j := 1 + (i+k)%max(1, m.n-1)
		if j < m.n && !m.gone[j] {
			return m.id(j)
		}
	}
	if len(m.extra) > 0 {
		return m.extra[0]
	}
	return 0
}
