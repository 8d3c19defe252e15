package consensus

import (
	"encoding/json"
	"errors"
	"io"
	"strings"
	"sync"
)

// toyMachine is a register and a list of what was applied. An entry is "id value", or a JSON array of such; an id is
// applied once.
type toyMachine struct {
	mu    sync.Mutex
	state toyState
	// broken makes Restore fail.
	broken bool
}

type toyState struct {
	Index    uint64
	Register string
	Applied  []string
	Seen     map[string]bool
}

func newToy() *toyMachine { return &toyMachine{state: toyState{Seen: map[string]bool{}}} }

func (t *toyMachine) Apply(index uint64, entry []byte) any {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.state.Index = index
	if entry[0] != '[' {
		return t.apply(string(entry))
	}
	var cmds []string
	if err := json.Unmarshal(entry, &cmds); err != nil {
		return []byte("bad")
	}
	var out []string
	for _, cmd := range cmds {
		out = append(out, string(t.apply(cmd)))
	}
	return out
}

func (t *toyMachine) apply(cmd string) []byte {
	id, value, ok := strings.Cut(cmd, " ")
	if !ok {
		return []byte("bad")
	}
	if !t.state.Seen[id] {
		t.state.Seen[id] = true
		t.state.Register = value
		t.state.Applied = append(t.state.Applied, id)
	}
	return []byte("ok " + id)
}

func (t *toyMachine) Capture() (Snapshot, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	b, err := json.Marshal(t.state)
	return toySnapshot(b), err
}

func (t *toyMachine) Restore(r io.Reader) error {
	var s toyState
	if err := json.NewDecoder(r).Decode(&s); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.broken {
		return errors.New("broken on purpose")
	}
	t.state = s
	return nil
}

func (t *toyMachine) read() toyState {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.state
	s.Applied = append([]string(nil), s.Applied...)
	return s
}

func toyEncode(cmds [][]byte) []byte {
	list := make([]string, len(cmds))
	for i, c := range cmds {
		list[i] = string(c)
	}
	b, _ := json.Marshal(list)
	return b
}

func toyEncodeResult(res any) []byte {
	b, _ := json.Marshal(res)
	return b
}

func toySplit(res []byte, _ int) ([][]byte, error) {
	var list []string
	err := json.Unmarshal(res, &list)
	out := make([][]byte, len(list))
	for i, s := range list {
		out[i] = []byte(s)
	}
	return out, err
}

type toySnapshot []byte

func (s toySnapshot) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write(s)
	return int64(n), err
}
func (toySnapshot) Release() {}
