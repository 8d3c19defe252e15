//go:build !race

package gateway

// manyMessages is how many messages pass through each stream decompressor.
const manyMessages = 20000
