package admin

import (
	"strings"
	"testing"

	"github.com/botnode/botnode/fsm"
)

// TestWhatANodeDoesNotHaveYet: a node that hasn't caught up answers that it isn't
// ready, which is worth another try, where one that has says that there is no such bot.
func TestWhatANodeDoesNotHaveYet(t *testing.T) {
	f := newFake(t)
	base := serve(t, ServerOptions{Backend: f})
	empty := newFake(t)
	empty.m = fsm.NewMachine()
	baseEmpty := serve(t, ServerOptions{Backend: empty})
	for _, behind := range []bool{true, false} {
		f.behind, empty.behind = behind, behind
		for _, url := range []string{base + "/v1/status?bot=new", base + "/v1/kv/a?bot=new", base + "/v1/config?bot=new", baseEmpty + "/v1/kv/a"} {
			a := ask(t, "GET", url, "")
			status, code := 404, "unknown_bot"
			if behind {
				status, code = 503, "not_ready"
			}
			if a.status != status || !strings.Contains(a.body, `"code":"`+code+`"`) || (a.header.Get("Retry-After") != "") != behind {
				t.Errorf("behind=%v, %s: %d %v %s", behind, url, a.status, a.header, a.body)
			}
		}
	}
}
