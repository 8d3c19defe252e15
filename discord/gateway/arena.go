package gateway

// chunkSize is what an arena allocates at once. It bounds what one small event
// that is kept for long can pin.
const chunkSize = 32 << 10

// arena copies small byte slices into shared chunks: one allocation in about
// thirty events instead of one each. The garbage collector frees a chunk with
// its last slice.
type arena struct{ free []byte }

// copy returns a copy of b that nothing else will write to.
func (a *arena) copy(b []byte) []byte {
	if len(b) > chunkSize/4 {
		return append(make([]byte, 0, len(b)), b...)
	}
	if len(b) > len(a.free) {
		a.free = make([]byte, chunkSize)
	}
	n := copy(a.free, b)
	out := a.free[:n:n]
	a.free = a.free[n:]
	return out
}
