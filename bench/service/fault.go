package service

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"time"
)

// Fault is what is wrong with a build.
type Fault string

// The builds.
const (
	Good    Fault = "good"
	Exits   Fault = "exits"   // at once, with status 1
	Hangs   Fault = "hangs"   // before it is ready, for ever
	Crashes Fault = "crashes" // CrashAfter it has begun to serve
)

// CrashAfter is when a build crashes that does.
const CrashAfter = 300 * time.Millisecond

// A build carries its fault behind the segments of its executable, where no loader looks.
const (
	mark      = "\nhandover bench "
	labelSize = 32
)

// Install puts the build with that fault of the program from at path, atomically: a process that runs keeps its own file.
func Install(from, path string, fault Fault) error {
	program, err := os.ReadFile(from)
	if err != nil {
		return fmt.Errorf("install build: %w", err)
	}
	label := []byte(mark + string(fault))
	program = append(append(program, label...), bytes.Repeat([]byte{' '}, labelSize-len(label))...)
	next := path + ".next"
	if err := writeExecutable(next, program); err != nil {
		return fmt.Errorf("install build: %w", err)
	}
	if err := os.Rename(next, path); err != nil {
		return fmt.Errorf("install build: %w", err)
	}
	return nil
}

// writeExecutable holds off forks while the file is open for writing: a child between fork and exec would hold it too, and
// executing it would fail with ETXTBSY (golang/go#22315).
func writeExecutable(path string, program []byte) error {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	return os.WriteFile(path, program, 0o700)
}

// Prepare is what a build does before it serves, and where one that is bad ends, or hangs.
func Prepare() {
	switch own() {
	case Exits:
		fmt.Fprintln(os.Stderr, "this build exits at once")
		os.Exit(1)
	case Hangs:
		for { // a plain deadlock would be noticed by the runtime
			time.Sleep(time.Hour)
		}
	}
}

// Serving is called when the process begins to serve.
func Serving() {
	if own() == Crashes {
		time.AfterFunc(CrashAfter, func() { panic("this build crashes") })
	}
}

// own reads which build this process is.
func own() Fault {
	label, err := ownLabel()
	if err != nil || !strings.HasPrefix(label, mark) {
		return Good
	}
	return Fault(strings.TrimSpace(strings.TrimPrefix(label, mark)))
}

func ownLabel() (string, error) {
	f, err := os.Open("/proc/self/exe")
	if err != nil {
		return "", err
	}
	defer f.Close()
	label := make([]byte, labelSize)
	_, err = f.Seek(-labelSize, io.SeekEnd)
	if err == nil {
		_, err = io.ReadFull(f, label)
	}
	return string(label), err
}
