package cpu

// Read lets benchmarks read the very bytes a kernel reads.
func (p *Pool) Read(data []byte) { p.read(data) }

// Threads is how many a pool computes with.
func (p *Pool) Threads() int { return p.threads }
