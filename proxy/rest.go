package proxy

import "net/http"

// serveREST answers a request to the API.
func (s *Server) serveREST(w http.ResponseWriter, _ *http.Request) {
	http.Error(w, "not found", http.StatusNotFound)
}
