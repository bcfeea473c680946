// Package bulkhead is the root of the Bulkhead module. It holds no code: see
// cmd/bulkhead for the program and ARCHITECTURE.md for its packages.
package bulkhead
