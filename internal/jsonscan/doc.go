// Package jsonscan slices raw JSON without decoding it.
//
// Every event passes through it several times (envelope on the owner, ids and
// members at apply), so it allocates nothing: what it returns are slices of its
// input. A caller that keeps one must copy it, or a small value pins its frame.
//
// The scanner is total: on any input it ends, never panics, never recurses and
// reports truncation. It refuses to validate: it checks the structure of the
// one level that it walks and only balances brackets and quotes below. The
// owner of a session validates a frame once, before it proposes it; after that
// the bytes are trusted to be JSON but not to have any shape.
//
// On input that encoding/json accepts the two agree, duplicates included (the
// last one wins). Names are compared exactly, not folded by case.
package jsonscan
