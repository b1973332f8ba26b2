// Package container tests a keeper that is process 1 of a container which runc runs. Its root is read-only and has one program,
// the command line; the service lies in a volume.
package container
