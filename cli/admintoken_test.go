package cli

import (
	"encoding/json"
	"net/http"

	"github.com/botnode/botnode/admin"
)

// stubAdminTokens answers about admin tokens as a node does.
func stubAdminTokens(mux *http.ServeMux) {
	mux.HandleFunc("GET /v1/admin-tokens", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode([]admin.Token{{Name: "ops", Right: "admin", CreatedMS: 1}, {Name: "ci", Right: "operator", CreatedMS: 1, ExpiresMS: 2}})
	})
	mux.HandleFunc("POST /v1/admin-tokens", func(w http.ResponseWriter, r *http.Request) {
		var b struct {
			Name  string `json:"name"`
			Right string `json:"right"`
			TTL   int    `json:"ttl_s"`
		}
		_ = json.NewDecoder(r.Body).Decode(&b)
		_ = json.NewEncoder(w).Encode(admin.Token{Name: b.Name, Right: b.Right, ExpiresMS: int64(b.TTL), Token: "bnadmin." + b.Name + ".abc"})
	})
	mux.HandleFunc("DELETE /v1/admin-tokens/ci", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]bool{"ok": true})
	})
}

// stubBotToken answers about the bot's token as a node does: it takes one alone.
func stubBotToken(mux *http.ServeMux) {
	ok := func(w http.ResponseWriter) { _ = json.NewEncoder(w).Encode(map[string]bool{"ok": true}) }
	mux.HandleFunc("GET /v1/bot-token", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(admin.BotToken{Bot: "default", Sealed: true, Revision: 3, Epoch: 2, Uses: "sealed", Differs: true})
	})
	mux.HandleFunc("POST /v1/bot-token", func(w http.ResponseWriter, r *http.Request) {
		var b struct {
			Token string `json:"token"`
		}
		if _ = json.NewDecoder(r.Body).Decode(&b); b.Token != secret {
			http.Error(w, "another token", http.StatusTeapot)
			return
		}
		ok(w)
	})
	mux.HandleFunc("DELETE /v1/bot-token", func(w http.ResponseWriter, _ *http.Request) { ok(w) })
}
