//go:build unix

package chaos

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"
)

// verb is what a client asks of a key.
type verb int

const (
	get verb = iota
	put
	del
)

// op is a request about one key, and what the client learned of it.
type op struct {
	client int
	key    string
	verb   verb
	value  string // that is put
	// match is the version that the key must have, if conditional; 0 is no key.
	conditional bool
	match       uint64

	call, back time.Duration // since the beginning
	unknown    bool          // no answer, or one that says so
	conflict   bool          // the key had another version
	found      bool          // of a get
	gotValue   string
	gotVersion uint64 // of the key, read or written
}

func (o op) String() string {
	what := []string{"get", "put " + o.value, "delete"}[o.verb]
	if o.conditional {
		what += fmt.Sprintf(" if %d", o.match)
	}
	res := fmt.Sprintf("found %v %q version %d", o.found, o.gotValue, o.gotVersion)
	switch {
	case o.unknown:
		res = "unknown"
	case o.conflict:
		res = "conflict"
	}
	return fmt.Sprintf("client %d, %v to %v: %s %s: %s", o.client, o.call, o.back, what, o.key, res)
}

// cell is the state of one key. A version is sure if someone was told it.
type cell struct {
	exists  bool
	value   string
	version uint64
	sure    bool
	// floor is the highest version that was seen: versions only rise.
	floor uint64
}

// model is a key that is written and read one operation after the other. Versions
// are the store's to choose; they rise.
var model = porcupine.Model{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		byKey := map[string][]porcupine.Operation{}
		for _, o := range history {
			key := o.Input.(op).key
			byKey[key] = append(byKey[key], o)
		}
		var out [][]porcupine.Operation
		for _, ops := range byKey {
			out = append(out, ops)
		}
		return out
	},
	Init:              func() any { return cell{sure: true} },
	Step:              func(state, input, _ any) (bool, any) { return step(state.(cell), input.(op)) },
	DescribeOperation: func(input, _ any) string { return input.(op).String() },
}

// step says whether an operation can come next, and what the key is then.
func step(c cell, o op) (bool, cell) {
	switch o.verb {
	case get:
		return read(c, o)
	case put:
		return write(c, o, cell{exists: true, value: o.value})
	}
	return write(c, o, cell{sure: true}) // what isn't there has version 0
}

func read(c cell, o op) (bool, cell) {
	switch {
	case o.unknown:
		return true, c
	case o.found != c.exists, o.found && o.gotValue != c.value, c.sure && o.found && o.gotVersion != c.version:
		return false, c
	case o.found && !c.sure:
		if o.gotVersion <= c.floor {
			return false, c
		}
		c.version, c.sure, c.floor = o.gotVersion, true, o.gotVersion
	}
	return true, c
}

func write(c cell, o op, next cell) (bool, cell) {
	matches := !o.conditional || !c.sure || o.match == c.version
	next.floor = c.floor
	switch {
	case o.unknown && (o.conditional && c.sure && !matches):
		return true, c
	case o.unknown:
		return true, next
	case o.conflict:
		return o.conditional && (!c.sure || !matches), c
	case !matches, o.verb == put && o.gotVersion <= c.floor:
		return false, c
	case o.verb == put:
		next.version, next.sure, next.floor = o.gotVersion, true, o.gotVersion
	}
	return true, next
}

// checkLimit bounds the check of a history, whose time is exponential in the
// number of operations that may be concurrent.
const checkLimit = time.Minute

// check reports whether a history is one of a store that does one thing at a time,
// and shows a key's history for which it isn't. done is false if that took too
// long to find out.
func check(history []op, limit time.Duration) (ok, done bool, why string) {
	byKey := map[string][]op{}
	for _, o := range history {
		byKey[o.key] = append(byKey[o.key], o)
	}
	done = true
	deadline := time.Now().Add(limit)
	for key, ops := range byKey {
		switch porcupine.CheckOperationsTimeout(model, operations(ops), max(time.Millisecond, time.Until(deadline))) {
		case porcupine.Illegal:
			slices.SortFunc(ops, func(a, b op) int { return int(a.call - b.call) })
			why = "the history of " + key + " is not linearizable:"
			for _, o := range ops {
				why += "\n    " + o.String()
			}
			return false, true, why
		case porcupine.Unknown:
			done = false
		}
	}
	return true, done, ""
}

// operations writes a history as porcupine wants it. What has no answer may take
// effect at any time, or as good as never: after everything else. A read without
// one says nothing.
func operations(ops []op) []porcupine.Operation {
	var out []porcupine.Operation
	for _, o := range ops {
		back := int64(o.back)
		if o.unknown {
			back = math.MaxInt64
		}
		if !o.unknown || o.verb != get {
			out = append(out, porcupine.Operation{ClientId: o.client, Input: o, Call: int64(o.call), Output: nil, Return: back})
		}
	}
	return out
}
