package proxy

import "net/http"

// serveGateway upgrades a connection to the gateway's protocol.
func (s *Server) serveGateway(w http.ResponseWriter, _ *http.Request) {
	http.Error(w, "not found", http.StatusNotFound)
}
