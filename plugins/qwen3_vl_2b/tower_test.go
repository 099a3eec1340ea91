package main

import (
	"path/filepath"
	"testing"
)

func TestPatchesAreTheReferences(t *testing.T) {
	m, _ := loadTiny(t, "config.json")
	var files []string
	for _, name := range full(t).Images {
		files = append(files, filepath.Join(tiny, name))
	}
	comparePatches(t, m, openGolden(t, tiny), files)
}

func TestFeaturesAreTheReferences(t *testing.T) {
	for _, config := range []string{"config.json", "config.v5.json"} {
		m, _ := loadTiny(t, config)
		compareFeatures(t, full(t).scene(t, m), openGolden(t, tiny))
	}
}

func TestPositionsAreTheReferences(t *testing.T) {
	m, _ := loadTiny(t, "config.json")
	comparePositions(t, full(t).scene(t, m), openGolden(t, tiny))
}
