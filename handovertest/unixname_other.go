//go:build !linux

package handovertest

const abstractSockets = false
