// Package e2e has no code: its tests build the programs and use them as a person does, over HTTP, signals and files. What
// is tested here is only what no single room can show: that a stream survives a killed plugin, that layers move under a
// running generation, that a plugin of a stranger loads.
package e2e
