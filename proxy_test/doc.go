// Package proxytest holds black-box tests: they start a real PostgreSQL and a
// real `bulkhead serve`, and talk to both over the wire.
package proxytest
