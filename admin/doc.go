// Package admin is a node's HTTP API under /v1, the typed client that the
// command line uses, and the types that both share.
//
// It holds no state and decides nothing: every answer comes from a Backend,
// which the node implements. It never shows a secret: no type in this package
// has a field for one.
package admin
