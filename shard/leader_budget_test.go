package shard

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/botnode/botnode/fsm"
)

// peers is a cluster whose other nodes answer as they are told to; nil is one
// that hangs.
type peers struct {
	fakeCluster
	say map[string]func() ([]byte, error)

	mu    sync.Mutex // guards what follows
	asked []string
}

func (p *peers) Call(ctx context.Context, id string, _ []byte) ([]byte, error) {
	p.mu.Lock()
	p.asked = append(p.asked, id)
	p.mu.Unlock()
	if f := p.say[id]; f != nil {
		return f()
	}
	<-ctx.Done()
	return nil, ctx.Err()
}

func answering(text string) func() ([]byte, error) {
	return func() ([]byte, error) { return []byte(text), nil }
}

const goodInfo = `{"URL":"wss://gateway","Shards":2,"Remaining":900,"Limit":1000,"MaxConcurrency":1}`

// readBy has joe, whose own reading fails, read by way of b, c, ...
func readBy(t *testing.T, own error, say map[string]func() ([]byte, error)) (info GatewayInfo, asked []string, err error) {
	t.Helper()
	machine := fsm.NewMachine()
	p := newFakeProposer(machine)
	for id := range say {
		p.do(&fsm.Up{Node: fsm.NodeRef{ID: id, Inc: 1}})
	}
	p.do(&fsm.Up{Node: refJoe})
	others := &peers{fakeCluster: fakeCluster{leader: "joe"}, say: say}
	m := NewManager(Options{Self: refJoe, Machine: machine, Proposer: p, Cluster: others})
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	info, err = m.gatewayInfo(ctx, &BotOptions{
		Name: testBot, Info: func(context.Context) (GatewayInfo, error) { return GatewayInfo{}, own },
	})
	m.Stop()
	return info, others.asked, err
}

// TestInfoOfAnotherNodeIsChecked: what names no gateway or no shards is not
// taken, and what can't be read leaves nothing behind.
func TestInfoOfAnotherNodeIsChecked(t *testing.T) {
	cut := errors.New("no route")
	for _, bad := range []string{``, `null`, `{}`, `[`, `{"URL":"wss://x"}`, `{"URL":"","Shards":3,"Limit":5}`, `{"Shards":7,"Limit":9,"URL":5}`, `{"URL":"x","Shards":-1}`} {
		info, _, err := readBy(t, cut, map[string]func() ([]byte, error){"b": answering(bad)})
		if !errors.Is(err, cut) || info != (GatewayInfo{}) {
			t.Errorf("%s: %+v, %v", bad, info, err)
		}
		info, _, err = readBy(t, cut, map[string]func() ([]byte, error){"b": answering(bad), "c": answering(`{"URL":"y","Shards":1}`)})
		if err != nil || info != (GatewayInfo{URL: "y", Shards: 1}) {
			t.Errorf("%s, then a good one: %+v, %v", bad, info, err)
		}
	}
	if _, asked, err := readBy(t, answeredErr{}, map[string]func() ([]byte, error){"b": answering(goodInfo)}); err == nil || len(asked) > 0 {
		t.Errorf("Discord has answered, and %v are asked: %v", asked, err)
	}
}

type answeredErr struct{}

func (answeredErr) Error() string        { return "503" }
func (answeredErr) Is(target error) bool { return target == ErrAnswered }

// TestInfoDoesNotWaitForNodesThatHang: one that reaches Discord is found behind
// others that don't, and one that answers is enough.
func TestInfoDoesNotWaitForNodesThatHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		info, _, err := readBy(t, errors.New("no route"), map[string]func() ([]byte, error){
			"b": nil, "c": nil, "d": nil, "e": nil, "f": nil, "g": answering(goodInfo),
		})
		if took := time.Since(began); err != nil || info.Shards != 2 || took > 10*time.Second {
			t.Errorf("%+v, %v, after %v", info, err, took)
		}
		_, asked, err := readBy(t, errors.New("no route"), map[string]func() ([]byte, error){"b": answering(goodInfo), "c": nil})
		if err != nil || !slices.Equal(asked, []string{"b"}) {
			t.Errorf("%v; asked %v", err, asked)
		}
	})
}

// TestOneReadingAtATime: while Discord hangs, a leader doesn't ask it again and
// again; the next leader's own reading waits for none of an earlier term.
func TestOneReadingAtATime(t *testing.T) {
	var reads atomic.Int32
	release := make(chan struct{})
	m, _ := newTestManager(t, &BotOptions{Name: testBot, Info: func(context.Context) (GatewayInfo, error) {
		reads.Add(1)
		<-release
		return GatewayInfo{}, answeredErr{}
	}})
	var wg sync.WaitGroup
	first, second := &Leader{}, &Leader{}
	wg.Go(func() { m.lead.readBudget(first, 1, testBot) })
	eventually(t, "the first reads", func() bool { return reads.Load() == 1 })
	m.lead.readBudget(first, 1, testBot) // returns
	wg.Go(func() { m.lead.readBudget(second, 2, testBot) })
	eventually(t, "the second reads", func() bool { return reads.Load() == 2 })
	close(release)
	wg.Wait()
	m.lead.readBudget(second, 2, testBot)
	if n := reads.Load(); n != 3 {
		t.Errorf("%d readings, want 3", n)
	}
	m.Stop()
}

// TestInfoForALeader: a node reads for another one what it would read for itself.
func TestInfoForALeader(t *testing.T) {
	want := GatewayInfo{URL: "wss://gateway", Shards: 2, Remaining: 900, Limit: 1000, MaxConcurrency: 1}
	m, _ := newTestManager(t, &BotOptions{Name: testBot, Info: func(context.Context) (GatewayInfo, error) { return want, nil }})
	defer m.Stop()
	for bot, ok := range map[string]bool{testBot: true, "nobody": false} {
		msg, err := json.Marshal(message{Kind: msgInfo, Node: refMike, Bot: bot})
		if err != nil {
			t.Fatal(err)
		}
		var got GatewayInfo
		answer, err := m.HandleMessage(t.Context(), "mike", msg)
		if err == nil {
			err = json.Unmarshal(answer, &got)
		}
		if (err == nil) != ok || ok && got != want {
			t.Errorf("%s: %+v, %v", bot, got, err)
		}
	}
}
