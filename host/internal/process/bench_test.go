package process

import "testing"

// BenchmarkStart is the time from nothing to the first answered call (a health check) of a plugin without a model, hashing
// and copying its binary included.
func BenchmarkStart(b *testing.B) {
	for name, mtls := range map[string]bool{"plain": false, "mtls": true} {
		b.Run(name, func(b *testing.B) {
			s := spec(b, "good")
			s.MTLS = mtls
			for b.Loop() {
				p, err := Start(b.Context(), s)
				if err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				if err := p.Stop(b.Context()); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
		})
	}
}
