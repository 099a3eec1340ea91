//go:build !cuda || !cgo

package driver

import "errors"

func every() ([]Info, error) { return nil, Probe() }

// Probe says why there is no driver.
func Probe() error {
	return errors.New("cuda: this binary was built without GPUs; build it with `make build`, or with -tags cuda and what `piohost plugin env` prints")
}
