package kernels

import (
	"embed"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
)

//go:embed ptx/*.ptx
var ptx embed.FS

var entry = regexp.MustCompile(`(?m)^\s*\.visible \.entry (\w+)\(`)

// modules says for each kernel which file has it, and has the files' text.
var modules = sync.OnceValues(func() (of map[string]string, text map[string][]byte) {
	of, text = map[string]string{}, map[string][]byte{}
	files, _ := ptx.ReadDir("ptx") // it is part of the program
	for _, f := range files {
		data, _ := ptx.ReadFile("ptx/" + f.Name())
		text[f.Name()] = data
		for _, m := range entry.FindAllSubmatch(data, -1) {
			of[string(m[1])] = f.Name()
		}
	}
	return of, text
})

// Module is the file that has a kernel and its text in PTX; nil if there is no such kernel.
func Module(kernel string) (file string, text []byte) {
	of, texts := modules()
	return of[kernel], texts[of[kernel]]
}

// Hopper says whether GPUs of a compute capability have what the files for Hopper need, which no others run, later ones neither.
func Hopper(major, minor int) bool { return major == 9 && minor == 0 }

// Runs says whether GPUs of a compute capability run a kernel.
func Runs(kernel string, major, minor int) bool {
	file, _ := Module(kernel)
	return !strings.HasSuffix(file, "_90a.ptx") || Hopper(major, minor)
}

// Names lists every kernel.
func Names() []string {
	of, _ := modules()
	return slices.Sorted(maps.Keys(of))
}
