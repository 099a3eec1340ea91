//go:build cuda && cgo

package driver

// #cgo CFLAGS: -I${SRCDIR}/../../include -std=gnu11 -Wall -Wextra
// #cgo LDFLAGS: -ldl -lpthread
// #include "calls.h"
// #include "lazy.h"
import "C"

import (
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"unsafe"

	"gorgonia.org/cu"
)

// Oldest is the oldest driver that serves: CUDA 11.4, whose assembler takes our PTX and which has every function that is called.
const Oldest = 11040

// Probe says in a sentence why no GPU can be used; nil where one can.
func Probe() error {
	var text [512]C.char
	code := C.pio_cuda_probe(&text[0], C.size_t(len(text)))
	if why := C.GoString(&text[0]); why != "" {
		return fmt.Errorf("cuda: no NVIDIA driver on this machine: %s", why)
	}
	if code != 0 {
		return fmt.Errorf("cuda: the driver does not start: %w", failed("cuInit", code))
	}
	if v := cu.Version(); v < Oldest {
		return fmt.Errorf("cuda: the driver is of CUDA %d.%d; install one of CUDA %d.%d or newer", v/1000, v%1000/10, Oldest/1000, Oldest%1000/10)
	}
	n, err := Count()
	if err == nil && n == 0 {
		err = failed("cuDeviceGetCount", codeNoDevice)
	}
	return err
}

// Count is how many devices the driver shows.
func Count() (int, error) {
	n, err := cu.NumDevices()
	return n, theirs("cuDeviceGetCount", err)
}

func every() ([]Info, error) {
	n, err := Count()
	if err != nil {
		return nil, err
	}
	list := make([]Info, n)
	for i := range list {
		dev, err := cu.GetDevice(i)
		if err != nil {
			return nil, theirs("cuDeviceGet", err)
		}
		if list[i], err = info(i, dev); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// Context is a device as this process uses it.
type Context struct {
	info Info
	dev  cu.Device
	cu   cu.CUContext
	c    C.CUcontext
}

// Open gives the device of an ordinal below Count. Those who open the same device share its memory and must close it each.
func Open(ordinal int) (*Context, error) {
	if err := Probe(); err != nil {
		return nil, err
	}
	dev, err := cu.GetDevice(ordinal)
	if err != nil {
		return nil, theirs("cuDeviceGet", err)
	}
	c := &Context{dev: dev}
	if c.info, err = info(ordinal, dev); err != nil {
		return nil, err
	}
	if c.cu, err = dev.RetainPrimaryCtx(); err != nil {
		return nil, theirs("cuDevicePrimaryCtxRetain", err)
	}
	c.c = *(*C.CUcontext)(unsafe.Pointer(&c.cu)) // a struct of this one pointer
	return c, nil
}

// Attributes that gorgonia.org/cu has no names for.
const (
	attributeShared   cu.DeviceAttribute = C.CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN
	attributePools    cu.DeviceAttribute = C.CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED
	attributeReadOnly cu.DeviceAttribute = C.CU_DEVICE_ATTRIBUTE_READ_ONLY_HOST_REGISTER_SUPPORTED
)

func info(ordinal int, dev cu.Device) (Info, error) {
	i := Info{Ordinal: ordinal, Driver: cu.Version()}
	var err error
	if i.Name, err = dev.Name(); err != nil {
		return i, theirs("cuDeviceGetName", err)
	}
	id, err := dev.UUID()
	if err != nil {
		return i, theirs("cuDeviceGetUuid", err)
	}
	i.UUID = "GPU-" + id.String()
	if i.Memory, err = dev.TotalMem(); err != nil {
		return i, theirs("cuDeviceTotalMem", err)
	}
	var pci [32]C.char
	if err := failed("cuDeviceGetPCIBusId", C.pio_pci(C.int(dev), &pci[0], C.int(len(pci)))); err != nil {
		return i, err
	}
	i.PCI = C.GoString(&pci[0])
	var pools, readOnly int
	for _, a := range []struct {
		what cu.DeviceAttribute
		to   *int
	}{
		{cu.ComputeCapabilityMajor, &i.Major}, {cu.ComputeCapabilityMinor, &i.Minor}, {cu.MultiprocessorCount, &i.Multiprocessors},
		{attributeShared, &i.Shared}, {cu.MaxSharedMemoryPerMultiprocessor, &i.SharedAll}, {cu.MaxThreadsPerMultiprocessor, &i.Threads},
		{cu.L2CacheSize, &i.L2}, {cu.AsyncEngineCount, &i.CopyEngines}, {attributePools, &pools}, {attributeReadOnly, &readOnly},
	} {
		if *a.to, err = dev.Attribute(a.what); err != nil {
			return i, theirs("cuDeviceGetAttribute", err)
		}
	}
	i.Pools, i.ReadOnly = pools != 0, readOnly != 0
	return i, nil
}

// Info is what is known of the device.
func (c *Context) Info() Info { return c.info }

// Close gives the device back; what was not freed goes with it once all have closed it.
func (c *Context) Close() error {
	return theirs("cuDevicePrimaryCtxRelease", c.dev.ReleasePrimaryCtx())
}

// CanAccessPeer says whether kernels and copies here can use another device's memory.
func (c *Context) CanAccessPeer(peer *Context) bool {
	can, err := c.dev.CanAccessPeer(peer.dev)
	return err == nil && can != 0
}

// EnablePeer lets kernels and copies here use another device's memory. Without it copies between devices go through the host.
func (c *Context) EnablePeer(peer *Context) error {
	return c.on("cuCtxEnablePeerAccess", func() error {
		err := peer.cu.EnablePeerAccess(0)
		if code(err) == codePeerEnabled {
			return nil
		}
		return err
	})
}

// on calls a function of gorgonia.org/cu with the context current. Contexts are current on threads, so the goroutine stays on one.
func (c *Context) on(call string, f func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := cu.SetCurrentContext(c.cu); err != nil {
		return theirs("cuCtxSetCurrent", err)
	}
	return theirs(call, f())
}

// code is the driver's number of an error of gorgonia.org/cu, whose type has no exported name.
func code(err error) int {
	for ; err != nil; err = errors.Unwrap(err) {
		if v := reflect.ValueOf(err); v.Kind() == reflect.Int {
			return int(v.Int())
		}
	}
	return 0
}

// theirs makes an error of gorgonia.org/cu one of ours.
func theirs(call string, err error) error {
	if err == nil {
		return nil
	}
	if n := code(err); n != 0 {
		return failed(call, C.CUresult(n))
	}
	return fmt.Errorf("cuda: %s: %w", call, err)
}

// failed is the error of a code; nil for success.
func failed(call string, result C.CUresult) error {
	if result == 0 {
		return nil
	}
	e := &Error{Call: call, Code: int(result)}
	var name, text *C.char
	C.pio_error(C.int(result), &name, &text)
	e.Name, e.Text = C.GoString(name), C.GoString(text)
	if e.Name == "" {
		e.Name = fmt.Sprintf("error %d", e.Code)
	}
	switch e.Code { // without a driver there is nobody to ask
	case codeNoDevice:
		e.Name, e.Text = "CUDA_ERROR_NO_DEVICE", "the driver shows no device (is one hidden by CUDA_VISIBLE_DEVICES?)"
	case codeNotFound:
		if e.Text == "" {
			e.Name, e.Text = "CUDA_ERROR_NOT_FOUND", "the driver does not have it"
		}
	}
	return e
}
