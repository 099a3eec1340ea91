package config

import (
	"reflect"
	"testing"
)

func TestGPUsThatNoDeviceNamesAreUsedByModelsThatNameNone(t *testing.T) {
	c := &Config{Devices: []Device{{Name: "cpu"}}, Models: []Model{{ID: "a", Devices: []string{"cpu"}, AnyDevice: true}, {ID: "b", Devices: []string{"cpu"}}}}
	if absent := c.Equip([]Device{{Name: "gpu.0", Memory: 5}, {Name: "gpu.1", Memory: 6}}); absent != nil {
		t.Errorf("absent: %v", absent)
	}
	if got, want := c.Models[0].Devices, []string{"cpu", "gpu.0", "gpu.1"}; !reflect.DeepEqual(got, want) {
		t.Errorf("a model that names no device has %v, not %v", got, want)
	}
	if got, want := c.Models[1].Devices, []string{"cpu"}; !reflect.DeepEqual(got, want) {
		t.Errorf("a model that says cpu has %v, not %v", got, want)
	}
	if c.GPUs() != "gpu.0, gpu.1" {
		t.Errorf("GPUs: %q", c.GPUs())
	}
}

func TestNamedGPUsKeepTheirMemoryAndAbsentOnesAreLeftOut(t *testing.T) {
	c := &Config{
		Devices: []Device{{Name: "gpu.0", Memory: 3}, {Name: "gpu.1"}, {Name: "gpu.2", Memory: 99}, {Name: "gpu.7", Memory: 9}},
		Models:  []Model{{ID: "a", Devices: []string{"cpu", "gpu.0", "gpu.7"}, AnyDevice: true}},
	}
	found := []Device{{Name: "gpu.0", Memory: 5}, {Name: "gpu.1", Memory: 6}, {Name: "gpu.2", Memory: 7}, {Name: "gpu.3", Memory: 8}}
	if got, want := c.Equip(found), []string{"gpu.7"}; !reflect.DeepEqual(got, want) {
		t.Errorf("absent: %v, not %v", got, want)
	}
	if want := []Device{{Name: "gpu.0", Memory: 3}, {Name: "gpu.1", Memory: 6}, {Name: "gpu.2", Memory: 7}}; !reflect.DeepEqual(c.Devices, want) {
		t.Errorf("devices: %+v", c.Devices)
	}
	if got, want := c.Models[0].Devices, []string{"cpu", "gpu.0"}; !reflect.DeepEqual(got, want) {
		t.Errorf("the model has %v, not %v", got, want)
	}
}
