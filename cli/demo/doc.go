// Package demo is `botnode demo`: a simulated Discord, three nodes as real
// processes, a leader that is killed with SIGKILL under load, its return and a
// planned move, and the ledger of what that cost.
//
// The simulator keeps the ledger, so the judge is not the judged. The package
// refuses to be a benchmark: it runs for seconds, on whatever machine it finds,
// and the figures of other libraries that it shows are quoted, never measured.
// It needs no internet and no token, and leaves no process and no file behind,
// but for the nodes' logs after a failure.
package demo
