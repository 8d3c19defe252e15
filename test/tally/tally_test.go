package tally

import (
	"encoding/json"
	"strconv"
	"testing"

	"github.com/botnode/botnode/admin"
	"github.com/botnode/botnode/discord/sim"
)

// asked is what a few messages come to, and the keys and posts that are right.
func asked() (*Want, map[string]string, []sim.Posted) {
	w := New()
	for i := 1; i <= 8; i++ {
		w.Add(i, "7", true)
	}
	w.Chatter = map[string]Chatter{"7": {Count: 2, Sum: 9}}
	keys := map[string]string{
		"total": "8", "guild/7": "8", "sum": "1", "won": "1", "late": "1", "first/0": "7", "calm": "1", "stubborn": "1",
		"stubborn/attempts": "6", "chatter/7": "2", "chatter/7/sum": "9", "tally": `{"count":1,"by_guild":{"7":1}}`,
	}
	posted := []sim.Posted{{Content: "calm 3"}, {Content: "stubborn 3"}, {Content: "stubborn 3", Deduped: true}}
	for i := 1; i <= 8; i++ {
		posted = append(posted, sim.Posted{Content: "count " + strconv.Itoa(i)})
	}
	return w, keys, posted
}

func items(keys map[string]string) (out []admin.KVItem) {
	for k, v := range keys {
		out = append(out, admin.KVItem{Key: k, Value: json.RawMessage(v)})
	}
	return out
}

func TestStoreIsJudged(t *testing.T) {
	w, keys, _ := asked()
	if err := w.Store(items(keys)); err != nil {
		t.Fatal(err)
	}
	for key, wrong := range map[string]string{
		"total": "9", "guild/7": "7", "sum": "2", "won": "2", "late": "0", "first/0": "3", "calm": "2", "stubborn/attempts": "2",
		"tally": `{"count":2,"by_guild":{"7":1}}`, "other": "1", "died/500": "1",
		"chatter/7": "3", "chatter/7/sum": "8", "chatter/8": "1",
	} {
		_, keys, _ := asked()
		keys[key] = wrong
		if err := w.Store(items(keys)); err == nil {
			t.Errorf("%s = %s is found right", key, wrong)
		}
	}
}

func TestLedgerIsJudged(t *testing.T) {
	w, _, posted := asked()
	if hidden, err := w.Ledger(posted); err != nil || hidden != 1 {
		t.Fatalf("%d hidden, %v", hidden, err)
	}
	for name, p := range map[string][]sim.Posted{
		"lost":    posted[1:],
		"doubled": append(posted, posted[0]),
		"unasked": append(posted, sim.Posted{Content: "count 9"}),
	} {
		if _, err := w.Ledger(p); err == nil {
			t.Errorf("%s: found right", name)
		}
	}
}
