package cli

import (
	"encoding/json"
	"net/http"
	"slices"

	"github.com/botnode/botnode/admin"
)

// stubClientKeys answers about client keys as a node does.
func stubClientKeys(mux *http.ServeMux) {
	mux.HandleFunc("GET /v1/client-keys", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode([]admin.ClientKey{{Bot: "default", Name: "web", Rights: []string{"events", "rest"}, CreatedMS: 1, Sessions: 2}})
	})
	refuse := func(w http.ResponseWriter, e *admin.APIError) {
		w.WriteHeader(e.Status)
		_ = json.NewEncoder(w).Encode(map[string]any{"error": e})
	}
	mux.HandleFunc("POST /v1/client-keys", func(w http.ResponseWriter, r *http.Request) {
		var b struct {
			Name   string   `json:"name"`
			Rights []string `json:"rights"`
		}
		_ = json.NewDecoder(r.Body).Decode(&b)
		switch {
		case b.Name == "web":
			refuse(w, &admin.APIError{Status: 412, Code: "conflict", Message: "conflict: there is a client key of that name", Hint: "`botnode client-key revoke web` first"})
		case slices.Contains(b.Rights, "write"):
			refuse(w, &admin.APIError{Status: 400, Code: "bad_request", Message: "bad request: rights write", Hint: "the rights are events, rest and read"})
		default:
			_ = json.NewEncoder(w).Encode(admin.ClientKey{Bot: "default", Name: b.Name, Rights: b.Rights, Key: "MTIz.client.abc"})
		}
	})
	mux.HandleFunc("DELETE /v1/client-keys/web", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(map[string]bool{"ok": true})
	})
	mux.HandleFunc("DELETE /v1/client-keys/ghost", func(w http.ResponseWriter, _ *http.Request) {
		refuse(w, &admin.APIError{Status: 404, Code: "not_found", Message: `not found: client key "ghost"`})
	})
}
