package proxy

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
)

// PublicURL normalises the address that clients are told to come to: http and
// https become ws and wss, and there is nothing after the host. "" stays "".
func PublicURL(text string) (string, error) {
	if text == "" {
		return "", nil
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return "", errors.New("an address such as wss://bots.example.org is wanted")
	}
	scheme, ok := map[string]string{"http": "ws", "ws": "ws", "https": "wss", "wss": "wss"}[strings.ToLower(u.Scheme)]
	switch {
	case !ok:
		return "", errors.New("it begins with wss://, ws://, https:// or http://")
	case u.User != nil:
		return "", errors.New("it has no user and no password")
	case strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "":
		return "", errors.New("nothing follows the host: the proxy is at the root of it")
	}
	return scheme + "://" + u.Host, nil
}

// gatewayURL is where a client finds the gateway: the public address, else the
// one under which it reached this node.
func (s *Server) gatewayURL(r *http.Request) string {
	if s.o.PublicURL != "" {
		return s.o.PublicURL
	}
	scheme := "ws://"
	if s.o.TLS {
		scheme = "wss://"
	}
	if plainHost(r.Host) {
		return scheme + r.Host
	}
	return scheme + s.Addr().String()
}

// plainHost reports whether a Host header is a host, with or without a port.
func plainHost(host string) bool {
	const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_:[]"
	return host != "" && strings.Trim(host, plain) == ""
}
