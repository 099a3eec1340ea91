//go:build cuda

package main

import (
	"testing"

	"github.com/inference-pio/inference-pio/cuda/serve/servetest/hybrid"
)

func TestHybridWakes(t *testing.T) { hybrid.Wakes(t, plugin) }

func TestHybridLives(t *testing.T) { hybrid.Lives(t, plugin) }
