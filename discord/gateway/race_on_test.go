//go:build race

package gateway

// manyMessages is fewer under the race detector, which is slow with compression.
const manyMessages = 2000
