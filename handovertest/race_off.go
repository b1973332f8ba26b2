//go:build !race

package handovertest

const raceEnabled = false
