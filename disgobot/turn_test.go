package disgobot

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"

	"github.com/disgoorg/disgo/rest"

	"github.com/botnode/botnode"
	"github.com/botnode/botnode/shard"
)

// fakeREST counts requests and answers all with one error.
type fakeREST struct {
	err   error
	calls int
}

func (f *fakeREST) HTTPClient() *http.Client      { return nil }
func (f *fakeREST) RateLimiter() rest.RateLimiter { return rest.NewNoopRateLimiter() }
func (f *fakeREST) Close(context.Context)         {}
func (f *fakeREST) Do(*rest.CompiledEndpoint, any, any, ...rest.RequestOpt) error {
	f.calls++
	return f.err
}

// What a node refuses to send, since the event may be another's, is remembered
// whatever the listener makes of it; what Discord refuses is not.
func TestRefusedCallsAreRemembered(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		err  error
		want bool
	}{
		{nil, false},
		{errors.New("discord is down"), false},
		{fmt.Errorf("error doing request in rest client: %w", shard.ErrNotFresh), true},
		{fmt.Errorf("error doing request in rest client: %w", shard.ErrNotRunner), true},
	} {
		turn := &turnClient{Client: &fakeREST{err: tt.err}, after: &fakeREST{}}
		if err := turn.Do(nil, nil, nil); !errors.Is(err, tt.err) {
			t.Errorf("%v became %v", tt.err, err)
		}
		if got := turn.refused.Load(); (got != nil) != tt.want || got != nil && !errors.Is(*got, tt.err) {
			t.Errorf("%v: remembered %v", tt.err, got)
		}
	}
}

// A goroutine that outlives its event may go on calling Discord.
func TestCallsAfterTheTurnBelongToNoEvent(t *testing.T) {
	t.Parallel()
	during, after := &fakeREST{}, &fakeREST{}
	turn := &turnClient{Client: during, after: after}
	_ = turn.Do(nil, nil, nil)
	turn.over.Store(true)
	_ = turn.Do(nil, nil, nil)
	if during.calls != 1 || after.calls != 1 {
		t.Errorf("%d calls during the turn, %d after it", during.calls, after.calls)
	}
}

// Before the node has started a client calls Discord as it was built to.
func TestCallsBeforeTheStartGoDirectly(t *testing.T) {
	t.Parallel()
	plain := &fakeREST{}
	if err := (&outsideClient{Client: plain, b: botnode.New()}).Do(nil, nil, nil); err != nil || plain.calls != 1 {
		t.Errorf("%d calls, %v", plain.calls, err)
	}
}
