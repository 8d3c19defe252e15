// Package proxy lets bots in any language use the cluster as if it were Discord:
// a gateway whose sessions survive the node that serves them, and a REST API
// that goes through the cluster's limiter. docs/design/proxy.md says why it is as
// it is.
//
// Clients show a client key instead of the bot's token, which never leaves the
// node. What the package promises ends at the client's socket.
package proxy
