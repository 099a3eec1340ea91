package cpu

// Read lets benchmarks read the very bytes a kernel reads.
func (d *Device) Read(data []byte) { d.pool.read(data) }

// PeakFLOPS is measured anew.
func (d *Device) PeakFLOPS() float64 { return d.pool.peakFLOPS() }

// Exp is the kernels' own e^x, for the test of its bound.
func (d *Device) Exp(y, x []float32) { d.pool.exp(y, x) }

// Ops are the names of the kernels' ops, in their order.
func Ops() []string { return opNames() }

// Has says whether the device's kernel table has an op.
func (d *Device) Has(op string) bool { return d.pool.has(op) }
