// Package tally keeps the books of what is said to test/integration/tallybot:
// what each message asks for, and what the replicated store and Discord must
// show for it in the end, to the last unit.
//
// The package asks no node and no Discord for anything: it compares.
package tally

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/botnode/botnode/admin"
	"github.com/botnode/botnode/discord/sim"
)

// Want is what some messages come to.
type Want struct {
	// Guilds counts the messages, and Updates those that update the shared value.
	Guilds, Updates map[string]int
	// Sum is what is added to one key, by number.
	Sum int
	// Races are the messages of each race for a key, and Racers their number.
	Races  map[string][]string
	Racers int
	// Pairs counts the messages that have a handler that fails beside one that doesn't.
	Pairs int
	// Deaths counts the messages whose handler ends its process.
	Deaths int
	// Chatter is what is to be seen of ordinary messages, by guild.
	Chatter map[string]Chatter
	// Answers is each answer that must be seen once.
	Answers map[string]bool
}

// Chatter is what a guild's ordinary messages, which are numbered, come to: their
// number, and the sum of their numbers. One that is lost for another that is
// doubled shows in the sum.
type Chatter struct{ Count, Sum int }

// New is what no message comes to.
func New() *Want {
	return &Want{Guilds: map[string]int{}, Updates: map[string]int{}, Races: map[string][]string{}, Answers: map[string]bool{}}
}

// Add notes what message i to a guild comes to, and returns its text. Of each
// thousand one ends the process that handles it, if deadly.
func (w *Want) Add(i int, guild string, deadly bool) string {
	n := strconv.Itoa(i)
	words := []string{"!tally", n}
	w.Guilds[guild]++
	w.Answers["count "+n] = true
	if i%5 == 0 {
		words = append(words, "update")
		w.Updates[guild]++
	}
	if i%10 == 1 {
		words = append(words, "sum")
		w.Sum += i
	}
	if i%5 == 2 { // four of a burst for one key
		race := strconv.Itoa(i / 20)
		words = append(words, "first="+race)
		w.Races[race] = append(w.Races[race], n)
		w.Racers++
	}
	if i%20 == 3 {
		words = append(words, "pair")
		w.Pairs++
		w.Answers["calm "+n], w.Answers["stubborn "+n] = true, true
	}
	if i%1000 == 500 && deadly {
		words = append(words, "die")
		w.Deaths++
		w.Answers["mortal "+n] = true
	}
	return strings.Join(words, " ")
}

// Sum adds up counts.
func Sum(m map[string]int) (n int) {
	for _, v := range m {
		n += v
	}
	return n
}

// Store compares the keys of a node with what they must be.
func (w *Want) Store(items []admin.KVItem) error {
	got := map[string]string{}
	for _, it := range items {
		b, err := it.Bytes()
		if err != nil {
			return err
		}
		got[it.Key] = string(b)
	}
	for _, check := range []func(map[string]string) error{w.updates, w.races, w.attempts, w.ends} {
		if err := check(got); err != nil {
			return err
		}
	}
	want := map[string]string{}
	for key, n := range map[string]int{
		"total": Sum(w.Guilds), "sum": w.Sum, "won": len(w.Races), "late": w.Racers - len(w.Races),
		"calm": w.Pairs, "stubborn": w.Pairs, "mortal": w.Deaths,
	} {
		number(want, key, n)
	}
	for g, n := range w.Guilds {
		number(want, "guild/"+g, n)
	}
	for g, c := range w.Chatter {
		number(want, "chatter/"+g, c.Count)
		number(want, "chatter/"+g+"/sum", c.Sum)
	}
	return differ(got, want)
}

// mostDifferences is how many keys an error names.
const mostDifferences = 20

// differ names the keys that have other values than they must have.
func differ(got, want map[string]string) error {
	all := maps.Clone(want)
	maps.Copy(all, got)
	var wrong []string
	for _, key := range slices.Sorted(maps.Keys(all)) {
		if got[key] != want[key] {
			wrong = append(wrong, fmt.Sprintf("%s is %q, want %q", key, got[key], want[key]))
		}
	}
	if n := len(wrong); n > 0 {
		return fmt.Errorf("%d keys of the store are wrong: %s", n, strings.Join(wrong[:min(n, mostDifferences)], "; "))
	}
	return nil
}

func number(want map[string]string, key string, n int) {
	if n != 0 {
		want[key] = strconv.Itoa(n)
	}
}

// updates judges the shared value. Like those below it takes out what it has
// judged.
func (w *Want) updates(got map[string]string) error {
	var tally struct {
		Count   int            `json:"count"`
		ByGuild map[string]int `json:"by_guild"`
	}
	if len(w.Updates) > 0 {
		if err := json.Unmarshal([]byte(got["tally"]), &tally); err != nil {
			return fmt.Errorf("tally is %q: %w", got["tally"], err)
		}
	}
	if tally.Count != Sum(w.Updates) || !maps.Equal(tally.ByGuild, w.Updates) && len(w.Updates) > 0 {
		return fmt.Errorf("%d updates are counted as %+v, want %v", Sum(w.Updates), tally, w.Updates)
	}
	delete(got, "tally")
	return nil
}

func (w *Want) races(got map[string]string) error {
	for race, who := range w.Races {
		if won := got["first/"+race]; !slices.Contains(who, won) {
			return fmt.Errorf("the race %s of %v was won by %q", race, who, won)
		}
		delete(got, "first/"+race)
	}
	return nil
}

// attempts: each of the pairs fails twice, and more often if it is interrupted.
func (w *Want) attempts(got map[string]string) error {
	text := got["stubborn/attempts"]
	delete(got, "stubborn/attempts")
	n, err := strconv.Atoi(text)
	if w.Pairs > 0 && (err != nil || n < 3*w.Pairs) {
		return fmt.Errorf("%q attempts of %d messages that fail twice", text, w.Pairs)
	}
	return nil
}

func (w *Want) ends(got map[string]string) error {
	ends := 0
	maps.DeleteFunc(got, func(key, _ string) bool {
		died := strings.HasPrefix(key, "died/")
		if died {
			ends++
		}
		return died
	})
	if ends != w.Deaths {
		return fmt.Errorf("%d handlers ended their process, want %d", ends, w.Deaths)
	}
	return nil
}

// Ledger compares the messages that can be seen with those that must be, and
// returns how many a nonce kept from being seen twice.
func (w *Want) Ledger(posted []sim.Posted) (hidden int, err error) {
	seen := map[string]int{}
	for _, p := range posted {
		if p.Deduped {
			hidden++
			continue
		}
		seen[p.Content]++
	}
	var lost, doubled, strange []string
	for a := range w.Answers {
		if seen[a] == 0 {
			lost = append(lost, a)
		}
	}
	for a, n := range seen {
		if !w.Answers[a] {
			strange = append(strange, a)
		} else if n > 1 {
			doubled = append(doubled, a)
		}
	}
	if len(lost)+len(doubled)+len(strange) > 0 {
		return hidden, fmt.Errorf("lost %v, doubled %v, unasked %v", lost, doubled, strange)
	}
	return hidden, nil
}
