package picture

// bench_test.go measures decoding at 1024 x 1024; the files are made by Go's encoders, which write 4:2:0.

import (
	"bytes"
	"context"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"testing"
)

func BenchmarkDecode(b *testing.B) {
	m := image.NewRGBA(image.Rect(0, 0, 1024, 1024))
	for y := range 1024 {
		for x := range 1024 {
			m.SetRGBA(x, y, color.RGBA{byte(x / 3), byte(y / 5), byte((x*y)>>10 + 40*(x/64+y/64)%2), 255})
		}
	}
	for _, c := range []struct {
		name   string
		encode func(w *bytes.Buffer) error
	}{
		{"jpeg", func(w *bytes.Buffer) error { return jpeg.Encode(w, m, &jpeg.Options{Quality: 90}) }},
		{"png", func(w *bytes.Buffer) error { return png.Encode(w, m) }},
		{"gif", func(w *bytes.Buffer) error { return gif.Encode(w, m, nil) }},
	} {
		var file bytes.Buffer
		if err := c.encode(&file); err != nil {
			b.Fatal(err)
		}
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(1024 * 1024 * 3)
			for b.Loop() {
				if _, err := Decode(context.Background(), file.Bytes(), Limits{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
