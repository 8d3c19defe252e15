// Package trust holds what the nodes of one cluster prove themselves with, and
// what they keep secrets with: the cluster's authority, which signs certificates
// that name a node; the cluster's secret, from which all symmetric keys derive;
// join tokens; and the form in which snapshots are encrypted.
//
// Everything here is data and cryptography: it opens no socket, knows no Raft,
// and decides about no node. What is replicated of it (authorities with their
// sealed keys, who holds what, revocations) is package fsm's.
package trust
