// Package rendezvous is the hashing by which the nodes of a cluster agree, without
// a word, on who is responsible for a key: each scores every node for the key, and
// the highest score wins. A node that leaves moves only its own keys.
package rendezvous

import "github.com/zeebo/xxh3"

// Score is how well a node fits a key: a hash of both. Equal on all machines.
func Score(node string, key []byte) uint64 {
	b := make([]byte, 0, 96)
	b = append(b, node...)
	b = append(b, 0)
	return xxh3.Hash(append(b, key...))
}

// Best returns the index of the node that scores highest for a key, the one with
// the lower name where two score alike, or -1 if there are none.
func Best(nodes []string, key []byte) int {
	best, score := -1, uint64(0)
	for i, n := range nodes {
		if s := Score(n, key); best < 0 || s > score || s == score && n < nodes[best] {
			best, score = i, s
		}
	}
	return best
}
