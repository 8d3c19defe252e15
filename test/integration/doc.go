// Package integration runs whole clusters as an operator does: real botnode
// processes on loopback, a simulated Discord, and kill -9, SIGSTOP and SIGTERM
// by process id.
//
// A cluster's verbs (Start, Join, Kill9, Stop, Cont, Term, Restart, Leader,
// OwnerOf, WaitReady, WaitOwned, Move) read as a transcript; the judge is the
// simulator's ledger, never what a node says of itself. What must never happen
// (an event lost, an answer doubled, a session started anew) is asserted
// strictly. How long a shard is silent depends on the machine: it is printed,
// and asserted with a wide margin.
//
// The default run has few rounds and short loads. The published figures come from rounds.sh,
// which sets BOTNODE_ROUNDS. With BOTNODE_LOGS set to a folder, the logs of
// failed tests are kept there.
package integration
