//go:build !race

package consensus

// raceDetector is true under -race.
const raceDetector = false
