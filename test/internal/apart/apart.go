//go:build linux

// Package apart runs the tests of a package in a namespace of their own, so that they can do to it what they would not do to the
// machine.
package apart

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"
)

// Namespace is a kind of namespace, by its name in /proc/self/ns.
type Namespace string

// Those that tests are run in.
const (
	Mounts  Namespace = "mnt"
	Network Namespace = "net"
)

// outsideVariable names the machine's own namespace, for the process in another to know that it is not there.
const outsideVariable = "HANDOVER_TEST_OUTSIDE"

// Run is called by TestMain, and does not return. The program is its own parent: the child, in a namespace of that kind which nobody else sees,
// sets it up and runs the tests.
func Run(m *testing.M, kind Namespace, setUp func() error) {
	here, err := os.Readlink("/proc/self/ns/" + string(kind))
	outside := os.Getenv(outsideVariable)
	switch {
	case err != nil:
	case outside == "":
		os.Exit(inside(kind, here))
	case outside == here:
		err = fmt.Errorf("this is %s, the namespace of the machine", here)
	default:
		err = setUp()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// inside runs this program with the same arguments in a new namespace, and returns its exit status. It dies with this process.
func inside(kind Namespace, outside string) int {
	runtime.LockOSThread() // whose death is meant
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), outsideVariable+"="+outside)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	switch kind {
	case Mounts: // package syscall makes them private only where they are unshared: what is mounted there does not come back here
		cmd.SysProcAttr.Unshareflags = syscall.CLONE_NEWNS
	case Network:
		cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWNET
	}
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		fmt.Fprintf(os.Stderr, "run in a %s namespace of its own: %v\n", kind, err)
		return 1
	}
	return cmd.ProcessState.ExitCode()
}
