//go:build unix

package chaos

import (
	"strings"
	"testing"
	"time"
)

// at gives an operation its times, in milliseconds.
func at(call, back int, o op) op {
	o.key, o.call, o.back = "k", time.Duration(call)*time.Millisecond, time.Duration(back)*time.Millisecond
	return o
}

func wrote(value string, version uint64) op { return op{verb: put, value: value, gotVersion: version} }

func saw(value string, version uint64) op {
	return op{verb: get, found: true, gotValue: value, gotVersion: version}
}

func conditional(o op, match uint64) op { o.conditional, o.match = true, match; return o }

// TestCheckerFindsWhatIsPlanted: a history that no store makes that does one thing
// at a time is found, and one that is merely odd is not.
func TestCheckerFindsWhatIsPlanted(t *testing.T) {
	unknown := op{verb: put, value: "2", unknown: true}
	conflict := op{verb: put, value: "9", conflict: true}
	for name, tt := range map[string]struct {
		ok  bool
		ops []op
	}{
		"one after the other":                   {true, []op{at(0, 1, wrote("1", 3)), at(2, 3, saw("1", 3)), at(4, 5, op{verb: del}), at(6, 7, op{verb: get})}},
		"a stale read":                          {false, []op{at(0, 1, wrote("1", 3)), at(2, 3, wrote("2", 4)), at(4, 5, saw("1", 3))}},
		"a read while it is written":            {true, []op{at(0, 1, wrote("1", 3)), at(2, 9, wrote("2", 4)), at(4, 5, saw("1", 3))}},
		"new, then old":                         {false, []op{at(0, 1, wrote("1", 3)), at(2, 9, wrote("2", 4)), at(4, 5, saw("2", 4)), at(6, 7, saw("1", 3))}},
		"a lost write":                          {false, []op{at(0, 1, wrote("1", 3)), at(2, 3, op{verb: get})}},
		"an unknown write that happened":        {true, []op{at(0, 1, wrote("1", 3)), at(2, 3, unknown), at(4, 5, saw("1", 3)), at(6, 7, saw("2", 8))}},
		"an unknown write that did not":         {true, []op{at(0, 1, wrote("1", 3)), at(2, 3, unknown), at(4, 5, saw("1", 3))}},
		"an unknown write that happened twice":  {false, []op{at(0, 1, unknown), at(2, 3, saw("2", 4)), at(4, 5, wrote("1", 5)), at(6, 7, saw("2", 6))}},
		"a version that falls":                  {false, []op{at(0, 1, wrote("1", 3)), at(2, 3, wrote("2", 2))}},
		"the version of another write":          {false, []op{at(0, 1, wrote("1", 3)), at(2, 3, saw("1", 4))}},
		"a condition that holds":                {true, []op{at(0, 1, wrote("1", 3)), at(2, 3, conditional(wrote("2", 4), 3))}},
		"a condition that doesn't, and a write": {false, []op{at(0, 1, wrote("1", 3)), at(2, 3, conditional(wrote("2", 4), 2))}},
		"two that had the same condition":       {false, []op{at(0, 9, conditional(wrote("1", 3), 0)), at(0, 9, conditional(wrote("2", 4), 0))}},
		"a conflict":                            {true, []op{at(0, 1, wrote("1", 3)), at(2, 3, conditional(conflict, 2))}},
		"a conflict for nothing":                {false, []op{at(0, 1, wrote("1", 3)), at(2, 3, conditional(conflict, 3))}},
		"a deletion that is undone":             {false, []op{at(0, 1, wrote("1", 3)), at(2, 3, op{verb: del}), at(4, 5, saw("1", 3))}},
	} {
		t.Run(name, func(t *testing.T) {
			for i := range tt.ops {
				tt.ops[i].client = i
			}
			ok, done, why := check(tt.ops, 10*time.Second)
			if ok != tt.ok || !done || ok == strings.Contains(why, "linearizable") {
				t.Errorf("%v, done %v, %s", ok, done, why)
			}
		})
	}
}
