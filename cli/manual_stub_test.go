package cli

import (
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/botnode/botnode/admin"
)

// stubManual answers what is asked of shards that are connected by hand, by the
// rules of package admin and with what a node would refuse.
func stubManual(mux *http.ServeMux) {
	answer := func(w http.ResponseWriter, v any) { _ = json.NewEncoder(w).Encode(v) }
	refuse := func(w http.ResponseWriter, e *admin.APIError) {
		w.WriteHeader(e.Status)
		answer(w, map[string]any{"error": e})
	}
	mux.HandleFunc("POST /v1/shards/{id}/disconnect", func(w http.ResponseWriter, r *http.Request) {
		out := admin.Resume{
			Schema: 1, ClusterID: "c1", Bot: "default", UserID: "9", Total: 2, SessionID: "abc", ResumeURL: "wss://resume", Seq: 41, Guilds: 1, Intents: 513,
		}
		switch r.PathValue("id") {
		case "0":
		case "1":
			out.Shard, out.Undone, out.UndoneEvents = 1, 2, []admin.UndoneEvent{{Pos: 7, Seq: 40, Type: "MESSAGE_CREATE", Handlers: []string{"ping"}}}
		default:
			refuse(w, &admin.APIError{Status: 404, Code: "unknown_shard", Message: "no such shard: 9", Hint: "`botnode shard list` shows the shards"})
			return
		}
		answer(w, out)
	})
	mux.HandleFunc("GET /v1/shards/0/state", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintln(w, `{"t":"GUILD_CREATE","d":{"id":"8","name":"A & B"}}`)
	})
	mux.HandleFunc("POST /v1/shards/0/state", func(w http.ResponseWriter, _ *http.Request) { answer(w, nil) })
	mux.HandleFunc("POST /v1/shards/{id}/connect", func(w http.ResponseWriter, r *http.Request) {
		var req admin.ConnectRequest
		_ = json.NewDecoder(r.Body).Decode(&req)
		refused := func(message, hint string) {
			refuse(w, &admin.APIError{Status: 409, Code: "refused", Message: "refused: " + message, Hint: hint})
		}
		seq := int64(41)
		switch {
		case r.PathValue("id") == "1":
			refused("shard 1 is connected", "`botnode shard move 1 --to ID` moves it")
		case r.PathValue("id") != "0":
			refuse(w, &admin.APIError{Status: 404, Code: "unknown_shard", Message: "no such shard: 9 of 2"})
		case req.Resume != nil && req.Resume.Bot != "default":
			refused(fmt.Sprintf("the resume information is of bot %q, not of %q", req.Resume.Bot, "default"), "")
		case req.Resume != nil && req.Of != 0 && req.Of != req.Resume.Total:
			refused(fmt.Sprintf("the session is of a bot with %d shards in all, not %d", req.Resume.Total, req.Of), "")
		case req.Resume == nil && req.Of > 2:
			answer(w, admin.Shard{Bot: "default", Total: req.Of, State: "connecting", Owner: req.To})
		default:
			answer(w, admin.Shard{Bot: "default", Total: 2, State: "ready", Owner: "mike", Seq: seq, Guilds: 1})
		}
	})
}
