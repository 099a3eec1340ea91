package config

import (
	"regexp"
	"slices"
	"strings"
)

// equip.go joins what models.toml says of GPUs with those that the machine has.

var gpuName = regexp.MustCompile(`^gpu\.(0|[1-9][0-9]?)$`)

// IsGPU says whether a device's name is a GPU's.
func IsGPU(name string) bool { return gpuName.MatchString(name) }

// Equip gives the file the GPUs of the machine, each with the memory that models may have of it. Where no [[device]] names one, all are used,
// by every model whose entry does not say devices. Those that are named keep what they were given, or have all. It returns the names of
// those that are not there, which are taken out: what was to lie on them is computed on the cpu.
func (c *Config) Equip(found []Device) (absent []string) {
	named := slices.ContainsFunc(c.Devices, func(d Device) bool { return IsGPU(d.Name) })
	if !named {
		c.Devices = append(c.Devices, found...)
		for i := range c.Models {
			for _, d := range found {
				if c.Models[i].AnyDevice {
					c.Models[i].Devices = append(c.Models[i].Devices, d.Name)
				}
			}
		}
		return nil
	}
	c.Devices = slices.DeleteFunc(c.Devices, func(d Device) bool {
		if !IsGPU(d.Name) || slices.ContainsFunc(found, func(f Device) bool { return f.Name == d.Name }) {
			return false
		}
		absent = append(absent, d.Name)
		return true
	})
	for i := range c.Devices {
		for _, f := range found {
			if d := &c.Devices[i]; d.Name == f.Name && (d.Memory == 0 || d.Memory > f.Memory) {
				d.Memory = f.Memory
			}
		}
	}
	for i := range c.Models {
		c.Models[i].Devices = slices.DeleteFunc(c.Models[i].Devices, func(name string) bool { return slices.Contains(absent, name) })
	}
	return absent
}

// GPUs are the names of the GPUs that the file names, for a sentence; "" without one.
func (c *Config) GPUs() string {
	var names []string
	for _, d := range c.Devices {
		if IsGPU(d.Name) {
			names = append(names, d.Name)
		}
	}
	return strings.Join(names, ", ")
}
