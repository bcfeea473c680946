//go:build !linux

package loop

import "fmt"

func newDriver(o Options) (driver, error) {
	if o.Driver == "" || o.Driver == "goroutine" {
		return newGoroutines(o), nil
	}
	return nil, fmt.Errorf("loop driver %q: want goroutine", o.Driver)
}
