package jsonscan

import "testing"

// BenchmarkFields walks the data of a MESSAGE_CREATE once.
func BenchmarkFields(b *testing.B) {
	env, err := Envelope(messageFrame(b))
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(env.Data)))
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		_ = Fields(env.Data, func(key, _ []byte) bool {
			n += len(key)
			return true
		})
	}
}
