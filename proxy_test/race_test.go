//go:build race

package proxytest

const raceEnabled = true
