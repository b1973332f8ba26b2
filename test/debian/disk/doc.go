// Package disk upgrades a service whose disk is full, has no inodes left, or is read-only: that of its takeover socket, and that of the
// builds that its keeper keeps. The disk is a small one in memory, in a mount namespace that the test has made for itself, and is gone with
// the test's process.
package disk
