package audit

import "slices"

// Checks returns all checks, in order. This list is what a reviewer reads;
// nothing registers itself.
func Checks() []Check {
	return slices.Concat(
		rowSecurityChecks(),
	)
}
