// Package test holds the end-to-end tests: built binaries, real processes, real traffic, real faults.
package test
