package config

import (
	"fmt"
	"strconv"
	"strings"
)

// maxSize is beyond any machine and far from overflowing when budgets are added.
const maxSize = 1 << 50 // 1 PiB

// parseSize reads a number of bytes with its unit: "20GiB", "1.5 MiB", "512MB", "100B". Units with an i are powers of
// 1024, the others of 1000.
func parseSize(text string) (int64, error) {
	number, unit := splitUnit(text)
	factor, ok := unitFactor(unit)
	if !ok {
		return 0, fmt.Errorf("%q has no unit of B, kB, MB, GB, TB, KiB, MiB, GiB, TiB", shorten(text))
	}
	value, err := strconv.ParseFloat(number, 64)
	if err != nil || strings.ContainsAny(number, "eEpPxX_+") {
		return 0, fmt.Errorf("%q does not begin with a number", shorten(text))
	}
	bytes := value * factor
	if !(bytes >= 1 && bytes <= maxSize) { // also false for NaN
		return 0, fmt.Errorf("%q is not between 1B and 1024TiB", shorten(text))
	}
	return int64(bytes), nil
}

// ParseSize reads a size as models.toml has them.
func ParseSize(text string) (int64, error) { return parseSize(text) }

// ParseRate reads a rate as models.toml has them: "25GB/s".
func ParseRate(text string) (float64, error) { return parseRate(text) }

// ParseFLOPS reads how fast something multiplies: "40TFLOP/s".
func ParseFLOPS(text string) (float64, error) {
	number, ok := strings.CutSuffix(strings.TrimSpace(text), "TFLOP/s")
	value, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if !ok || err != nil || strings.ContainsAny(number, "eEpPxX_+") || !(value > 0 && value <= maxTFLOPS) {
		return 0, fmt.Errorf("%q is not a speed such as 40TFLOP/s", shorten(text))
	}
	return value * 1e12, nil
}

// maxTFLOPS is beyond any card.
const maxTFLOPS = 1e6

// FormatSize writes a number of bytes exactly, in the largest unit that makes it whole: "20 MiB", "3 KiB", "1025 bytes".
func FormatSize(n int64) string {
	switch {
	case n >= 1<<20 && n%(1<<20) == 0:
		return fmt.Sprintf("%d MiB", n>>20)
	case n >= 1<<10 && n%(1<<10) == 0:
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%d bytes", n)
}

// parseRate reads bytes per second: a size followed by "/s".
func parseRate(text string) (float64, error) {
	size, ok := strings.CutSuffix(strings.TrimSpace(text), "/s")
	if !ok {
		return 0, fmt.Errorf("%q does not end in /s", shorten(text))
	}
	bytes, err := parseSize(size)
	return float64(bytes), err
}

// splitUnit cuts "1.5 MiB" into "1.5" and "MiB".
func splitUnit(text string) (number, unit string) {
	text = strings.TrimSpace(text)
	number = strings.TrimRight(text, "BKMGTkibmgt")
	return strings.TrimSpace(number), text[len(number):]
}

func unitFactor(unit string) (float64, bool) {
	switch unit {
	case "B":
		return 1, true
	case "kB":
		return 1e3, true
	case "MB":
		return 1e6, true
	case "GB":
		return 1e9, true
	case "TB":
		return 1e12, true
	case "KiB":
		return 1 << 10, true
	case "MiB":
		return 1 << 20, true
	case "GiB":
		return 1 << 30, true
	case "TiB":
		return 1 << 40, true
	}
	return 0, false
}
