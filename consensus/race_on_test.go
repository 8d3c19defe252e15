//go:build race

package consensus

// raceDetector is true under -race. Raft itself reads a peer's id without its lock while the address is updated.
const raceDetector = true
