package proxy

import (
	"maps"
	"net/http"
	"strings"
)

// hopByHop are the headers of one connection (RFC 9110, 7.6.1).
var hopByHop = []string{
	"Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authenticate", "Proxy-Authorization", "Te", "Trailer", "Transfer-Encoding", "Upgrade",
}

// notForDiscord are what a client says to the proxy, and what says where it comes from.
var notForDiscord = []string{
	"Authorization", "Cookie", "Expect", "Host", "Origin", "Referer", "Forwarded", "Via", "X-Real-Ip",
	headerMaxWait, headerIdempotency,
}

// notForClients are what Discord's servers say of their own address, which would
// be taken for the proxy's.
var notForClients = []string{"Set-Cookie", "Alt-Svc", "Strict-Transport-Security", "Nel", "Report-To", "Reporting-Endpoints", "Location"}

// requestHeader returns the headers that go on to Discord.
func requestHeader(h http.Header) http.Header {
	out := h.Clone()
	dropHeaders(out, notForDiscord)
	for name := range out {
		if strings.HasPrefix(name, "X-Forwarded-") || strings.HasPrefix(name, "Cf-") {
			delete(out, name)
		}
	}
	if out.Get("Accept-Encoding") == "" {
		out.Set("Accept-Encoding", "identity") // else the transport would ask for gzip and unpack it
	}
	return out
}

// copyResponseHeader copies the headers that go on to the client.
func copyResponseHeader(dst, src http.Header) {
	src = src.Clone()
	dropHeaders(src, notForClients)
	maps.Copy(dst, src)
}

// dropHeaders drops the headers of one connection, those that Connection names,
// and those of a list.
func dropHeaders(h http.Header, names []string) {
	for _, line := range h.Values("Connection") {
		for name := range strings.SplitSeq(line, ",") {
			h.Del(strings.TrimSpace(name))
		}
	}
	for _, name := range hopByHop {
		h.Del(name)
	}
	for _, name := range names {
		h.Del(name)
	}
}
