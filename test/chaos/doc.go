// Package chaos tries to break a cluster of real processes, and judges what came
// of it.
//
// A seed is a schedule of faults: which kind, when, for how long, whom. They hit
// processes (kill -9, SIGSTOP, SIGTERM, all at once), disks (that hang, err, are
// full, or lose with the power what was not synced; see internal/disklab), Discord (connections that
// end, sessions that are refused, errors, silence, events that come twice), and
// the network between the nodes (cuts of both directions or one, between two or
// around one, flapping, slow and lossy links; see internal/netlab). Meanwhile users
// write to test/integration/tallybot, and clients write to the key-value store
// at all nodes.
//
// The judge is never a node's word for itself: it is the simulator's ledger, the
// books of what was said (test/tally), the digests and owners that all nodes tell
// at all times and that must not contradict each other, a checker of
// linearizability (porcupine) over the clients' history, and the kernel, which
// knows who has ended.
//
// The same seed makes the same schedule. When a packet is lost or a process
// scheduled is the machine's business, so a failure may need several runs of its
// seed to be seen again; the logs of a run that failed are kept.
//
//	go test ./test/chaos                                      one short run
//	go test ./test/chaos -chaos.time 20m -chaos.seeds 10      as `make chaos`
//	go test ./test/chaos -seed 17 -chaos.time 2m              one seed again
//	go test ./test/chaos -run Load -chaos.load 10m            as `make load`
//	go test ./test/chaos -run Soak -chaos.soak 1h             as `make soak`
package chaos
