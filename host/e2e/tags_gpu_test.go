//go:build cuda

package e2e

const buildTags = "pio_hold,cuda"
