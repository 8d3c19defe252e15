package proxy

import (
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/botnode/botnode/fsm"
)

// starts is how many sessions a client is told that it may start: the proxy has
// no such limit, but libraries refuse to start when fewer are left than they
// have shards.
const starts = 1000

// A client is told that it may start so many shards in five seconds, and all of
// them in so many times five: some libraries connect all at once and have them
// wait for their turn, for which there isn't more time than times.identify.
const (
	concurrency = 64
	turns       = 4
)

// gatewayRoute reports whether the proxy itself answers a path.
func gatewayRoute(path string) bool { return path == "/gateway" || path == "/gateway/bot" }

// serveGatewayRoute answers Get Gateway and Get Gateway Bot (events/gateway.mdx)
// with the proxy's own gateway. The recommended number of shards is the bot's own:
// a client may take any other, since its shards are virtual.
func (s *Server) serveGatewayRoute(w http.ResponseWriter, r *http.Request, path string, c Client) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		errMethod.write(w)
		return
	}
	answer := map[string]any{"url": s.gatewayURL(r)}
	if path == "/gateway/bot" {
		shards := 1
		s.o.Backend.ViewState(func(st *fsm.State) {
			if b := st.Bot(c.Bot); b != nil {
				shards = max(shards, int(b.Layout))
			}
		})
		answer["shards"] = shards
		answer["session_start_limit"] = map[string]int{
			"total": max(starts, shards), "remaining": max(starts, shards), "reset_after": 0, "max_concurrency": max(concurrency, (shards+turns-1)/turns),
		}
	}
	text, _ := json.Marshal(answer) // plain values
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	_, _ = w.Write(text) // the client is gone if this fails
}
