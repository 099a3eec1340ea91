package picture

// bench_test.go measures what a picture costs before the vision tower sees it. With PIO_PILLOW naming a Python that has
// Pillow, its resize is measured in the same run. best-ms is the fastest pass, the figure that other work on the machine
// disturbs least.

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

const pillow = `
import time
from PIL import Image
m = Image.frombytes("RGB", (4032, 3024), bytes(range(256)) * (4032 * 3024 * 3 // 256))
best = 1e9
for _ in range(10):
    t = time.perf_counter(); m.resize((1024, 768), Image.BICUBIC); best = min(best, time.perf_counter() - t)
print(best * 1e3)
`

func BenchmarkResize(b *testing.B) {
	big := pattern(4032, 3024)
	for _, name := range tables() {
		table, err := choose(name)
		if err != nil {
			b.Fatal(err)
		}
		for _, threads := range []int{1, 2} {
			b.Run(fmt.Sprintf("4032x3024-1024x768/%s/threads=%d", name, threads), func(b *testing.B) {
				b.SetBytes(int64(len(big.Pix)))
				best := time.Hour
				for b.Loop() {
					start := time.Now()
					if _, err := resize(big, 1024, 768, threads, table); err != nil {
						b.Fatal(err)
					}
					best = min(best, time.Since(start))
				}
				b.ReportMetric(best.Seconds()*1e3, "best-ms")
			})
		}
	}
	python := os.Getenv("PIO_PILLOW")
	if python == "" {
		return
	}
	b.Run("4032x3024-1024x768/pillow", func(b *testing.B) {
		out, err := exec.Command(python, "-c", pillow).Output()
		if err != nil {
			b.Fatal(err)
		}
		ms, err := strconv.ParseFloat(strings.TrimSpace(string(out)), 64)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(ms, "best-ms")
		b.ReportMetric(0, "ns/op") // the loop is Python's
	})
}

func BenchmarkPatches(b *testing.B) {
	c, m := tiny(), pattern(1024, 1024)
	b.SetBytes(int64(len(m.Pix)))
	for b.Loop() {
		if _, err := c.patches(m); err != nil {
			b.Fatal(err)
		}
	}
}
