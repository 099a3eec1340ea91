package serve

import (
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/inference-pio/inference-pio/cuda"
)

// loaded.go tells in the log what a load took: "loaded 1.20 GB in 0.80 s (1.5 GB/s, packed to 0.60 GB of q4 and q8)".

// tellLoaded does so of a load that began at start. What is read from a mapped file as it is has no rate, nor what an earlier load kept: pages come
// as they are touched.
func (i *instance) tellLoaded(start time.Time) {
	if i.checkpoint == nil { // invented
		return
	}
	bytes := i.checkpoint.Bytes()
	slog.Info(loadedText(bytes, time.Since(start), i.bound.QuantisedBytes(), i.found, i.packedTo()))
}

// loadedText is that line. packed is what was made of the file, in some forms, by an earlier load if it was found; 0 is nothing.
func loadedText(bytes int64, took time.Duration, packed int64, found bool, forms []string) string {
	seconds := took.Seconds()
	how := "mapped"
	switch {
	case packed > 0 && found:
		how = fmt.Sprintf("%s of %s, kept by an earlier load", gigabytes(packed), strings.Join(forms, " and "))
	case packed > 0:
		how = fmt.Sprintf("%.1f GB/s, packed to %s of %s", float64(bytes)/1e9/max(seconds, 1e-9), gigabytes(packed), strings.Join(forms, " and "))
	}
	return fmt.Sprintf("loaded %s in %.2f s (%s)", gigabytes(bytes), seconds, how)
}

func gigabytes(n int64) string {
	if n < 1e8 {
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	}
	return fmt.Sprintf("%.2f GB", float64(n)/1e9)
}

// packedTo names the quantised forms that weights have, the smaller first.
func (i *instance) packedTo() (forms []string) {
	has := map[string]bool{}
	for _, m := range i.bound.Modules {
		for _, w := range m.Weights {
			has[w.File().Layout.Name] = true
		}
	}
	for _, form := range []string{cuda.Q4, cuda.Q4K, cuda.Q6K, cuda.Q8} {
		if has[form] {
			forms = append(forms, form)
		}
	}
	return forms
}
