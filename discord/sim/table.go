package sim

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
)

// raw is one Discord object as JSON.
type raw = json.RawMessage

// obj is a JSON object while it is being made or changed.
type obj = map[string]any

// encode marshals what the package itself made, which can't fail.
func encode(v any) raw {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return raw("null")
	}
	return bytes.TrimRight(b.Bytes(), "\n")
}

// decode reads an object; numbers keep their digits.
func decode(r raw) obj {
	o := obj{}
	d := json.NewDecoder(bytes.NewReader(r))
	d.UseNumber()
	if d.Decode(&o) != nil {
		return obj{}
	}
	return o
}

// with is r with fields replaced; the original isn't changed.
func with(r raw, fields obj) raw {
	o := decode(r)
	maps.Copy(o, fields)
	return encode(o)
}

// splice adds one field in front of an encoded object, without decoding it.
func splice(r raw, key string, val raw) raw {
	b := make([]byte, 0, len(r)+len(key)+len(val)+4)
	b = append(b, '{', '"')
	b = append(b, key...)
	b = append(b, '"', ':')
	b = append(b, val...)
	if len(r) > 2 {
		b = append(b, ',')
	}
	return append(b, r[1:]...)
}

// quoted is the id as a JSON string.
func (i ID) quoted() raw { return raw(`"` + i.String() + `"`) }

// table is a set of objects in the order of their creation.
type table struct {
	keys []ID
	rows map[ID]raw
}

func newTable(n int) table { return table{rows: make(map[ID]raw, n)} }

func (t *table) put(id ID, r raw) {
	if _, ok := t.rows[id]; !ok {
		t.keys = append(t.keys, id)
	}
	t.rows[id] = r
}

func (t *table) del(id ID) {
	if _, ok := t.rows[id]; ok {
		delete(t.rows, id)
		t.keys = slices.DeleteFunc(t.keys, func(k ID) bool { return k == id })
	}
}

// list is the objects in order.
func (t *table) list() []raw {
	out := make([]raw, 0, len(t.keys))
	for _, k := range t.keys {
		out = append(out, t.rows[k])
	}
	return out
}

// array is the objects in order, as a JSON array.
func (t *table) array() raw { return joinArray(t.list()) }

func joinArray(rs []raw) raw {
	n := 2
	for _, r := range rs {
		n += len(r) + 1
	}
	b := make([]byte, 0, n)
	b = append(b, '[')
	for i, r := range rs {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, r...)
	}
	return append(b, ']')
}

// sortedKeys is the keys in rising order: nothing that is sent may depend on the
// order of a map.
func sortedKeys(m map[ID]raw) []ID { return slices.Sorted(maps.Keys(m)) }

func sortedRows(m map[ID]raw) []raw {
	out := make([]raw, 0, len(m))
	for _, k := range sortedKeys(m) {
		out = append(out, m[k])
	}
	return out
}
