// Package admin is a node's HTTP API under /v1, the typed client that the
// command line uses, and the types that both share.
//
// It holds no state and decides nothing: every answer comes from a Backend,
// which the node implements. A secret is in the one answer that makes it, and in
// no other but that of the backups' key.
package admin
