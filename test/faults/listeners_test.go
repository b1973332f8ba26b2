//go:build linux

package faults

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/handover-go/handover/handovertest"
	"github.com/handover-go/handover/test/internal/client"
)

// refused waits until the handover that was asked for is aborted, and returns the line that says why.
func (r *run) refused() string {
	r.t.Helper()
	line := r.settle()
	if !strings.Contains(line, `msg="handover aborted`) {
		r.t.Fatalf("not aborted: %s", line)
	}
	return line
}

// TestUnixSocketPathOutlivesGenerations: neither a failed successor nor a generation that leaves removes it; the end of the
// service does.
func TestUnixSocketPathOutlivesGenerations(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "socket")
	r := newRun(t, path)
	r.Start(handovertest.Service{
		Path: build(t, ""), Network: "unix", Address: path,
		Env: []string{"ADDR=" + path, "HANDOVER_PROBATION=100ms"},
	})
	r.Drive(r.Load())
	before, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, flaw := range []string{"exit", "check"} { // before it has the listener, and with it
		r.Swap(build(t, flaw))
		r.upgrade()
		r.refused()
	}
	r.Swap(build(t, ""))
	r.Upgrade(3)
	after, err := os.Stat(path)
	if err != nil || !os.SameFile(before, after) {
		t.Errorf("the path is another's after five handovers: %v", err)
	}
	r.Finish()
	r.Stop()
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("the path outlives the service: %v", err)
	}
}

// TestIncumbentAcceptsNothingAfterTheCommit: every new connection of a probation is the successor's.
func TestIncumbentAcceptsNothingAfterTheCommit(t *testing.T) {
	t.Parallel()
	r := start(t, "HANDOVER_PROBATION=3s")
	incumbent := r.PID()
	successor := r.prove()
	for range 100 {
		c := client.Dial(t, r.address, patience)
		c.IsOf(successor)
		c.Close()
	}
	if incumbent == successor {
		t.Error("nobody was replaced")
	}
	r.settle()
	r.finish()
}

// TestSuccessorWithoutDescriptorsIsRefused: it cannot hold what it is offered. Before that, and afterwards with a successor
// that can, a hundred listeners of equal addresses are handed over.
func TestSuccessorWithoutDescriptorsIsRefused(t *testing.T) {
	t.Parallel()
	address := handovertest.FreeAddress(t)
	r := newRun(t, address)
	r.Start(handovertest.Service{
		Path: build(t, ""), Address: address,
		Env: []string{"ADDR=" + address + strings.Repeat(",127.0.0.1:0", 100), "HANDOVER_PROBATION=100ms"},
	})
	r.Drive(r.Load())
	r.Upgrade(1)
	script := filepath.Join(t.TempDir(), "poor")
	if err := os.WriteFile(script, []byte("#!/bin/sh\nulimit -n 40\nexec "+build(t, "")+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	r.Swap(script)
	r.upgrade()
	if line := r.refused(); !strings.Contains(line, "RLIMIT_NOFILE") {
		t.Errorf("the reason is not said: %s", line)
	}
	r.Swap(build(t, ""))
	before, err := handovertest.OpenFDs(r.PID())
	if err != nil {
		t.Fatal(err)
	}
	r.Upgrade(2)
	r.Finish()
	if before < 100 {
		t.Errorf("%d descriptors are open: where are the listeners?", before)
	}
	r.Signal(r.PID(), syscall.SIGTERM)
}

// TestListenersOfEveryKindAreHandedOver, more than one message carries: each socket is the same one in the kernel after two
// handovers.
func TestListenersOfEveryKindAreHandedOver(t *testing.T) {
	t.Parallel()
	const each = 50
	dir := t.TempDir()
	address := handovertest.FreeAddress(t)
	addresses, packets := address, ""
	for i := range each {
		addresses += fmt.Sprintf(",127.0.0.1:0,[::1]:0,%s/l%d", dir, i)
		packets += fmt.Sprintf("udp:127.0.0.1:0 udp6:[::1]:0 unixgram:%s/p%d ", dir, i)
	}
	service := handovertest.Start(t, handovertest.Service{
		Path: build(t, ""), Address: address,
		Env: []string{"ADDR=" + addresses, "PACKETS=" + packets, "HANDOVER_PROBATION=100ms"},
	})
	before := bound(t, service.PID())
	service.Upgrade(2)
	after := bound(t, service.PID())
	if len(before) != 6*each+1 {
		t.Errorf("%d sockets are bound, want %d", len(before), 6*each+1)
	}
	for inode, is := range before {
		if after[inode] != is {
			t.Errorf("socket %s, %s, was not handed over", inode, is)
		}
	}
	if len(after) != len(before) {
		t.Errorf("%d sockets have become %d", len(before), len(after))
	}
}

// bound is where the sockets of a process listen, or await datagrams, by their numbers in the kernel.
func bound(t *testing.T, pid int) map[string]string {
	t.Helper()
	all := map[string]string{}
	// Columns of proc_net(5): what is bound, in which state, and the number.
	for file, column := range map[string]struct{ at, state, inode int }{
		"tcp": {1, 3, 9}, "tcp6": {1, 3, 9}, "udp": {1, 3, 9}, "udp6": {1, 3, 9}, "unix": {7, 5, 6},
	} {
		text, err := os.ReadFile("/proc/net/" + file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			words := strings.Fields(line)
			// Listening, unconnected, and for unix not connected.
			if len(words) > column.at && slices.Contains([]string{"0A", "07", "01"}, words[column.state]) {
				all[words[column.inode]] = file + " " + words[column.at]
			}
		}
	}
	held := map[string]string{}
	fds, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		target, _ := os.Readlink(fd) // closed meanwhile: no listener
		inode := strings.TrimSuffix(strings.TrimPrefix(target, "socket:["), "]")
		if is, ok := all[inode]; ok {
			held[inode] = is
		}
	}
	return held
}

// TestChangedSocketOptionIsReported, whatever kind of value it has: the listener keeps what it has, and that is said.
func TestChangedSocketOptionIsReported(t *testing.T) {
	t.Parallel()
	r := start(t)
	r.Swap(build(t, "options"))
	said := map[string]*handovertest.Watch{}
	for _, option := range []string{"SO_RCVBUF is ", "SO_PRIORITY is 0, asked for 5", "SO_LINGER is off, asked for 7 s", "SO_BINDTODEVICE is "} {
		said[option] = r.WatchFor(`msg="the listener keeps its socket option"`, option)
	}
	r.Upgrade(1)
	for option, line := range said {
		r.Line(line, "nothing is said of "+option)
	}
	handovertest.AssertNothingLost(t, r.finish())
}

// TestKeepAliveOfListenConfigHoldsInEveryGeneration for the connections that it accepts, and where the next build asks for another, that
// one: it is no option of the listener. Connections that follow keep theirs. Guard: listener.Accept, "l.keepAlive(raw)"; without it
// every generation but the first gives connections the default of package net.
func TestKeepAliveOfListenConfigHoldsInEveryGeneration(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, env  string
		is, change string
	}{
		{"period", "KEEP_ALIVE=40", "[1 40 3 4]", "[1 80 3 4]"},
		{"none", "KEEP_ALIVE=-1", "[0 ", "[0 "},
		{"default", "KEEP_ALIVE=", "[1 15 15 9]", "[1 15 15 9]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := startWith(t, handovertest.Clients{KeepAlive: 1}, c.env)
			wants := func(conn *client.Conn, values string) {
				t.Helper()
				conn.Ask("/keepalive")
				if said := conn.Answer(); !strings.Contains(said, " "+strconv.Itoa(r.PID())+" ") || !strings.Contains(said, values) {
					t.Errorf("keep-alive %q, want %s of process %d", said, values, r.PID())
				}
			}
			wants(client.Dial(t, r.address, patience), c.is)
			follows := client.Dial(t, r.address, patience)
			for range 2 {
				leaves := r.PID()
				follows.IsOf(leaves)
				r.Upgrade(1)
				r.AwaitExit(leaves)
				wants(client.Dial(t, r.address, patience), c.is)
			}
			r.Swap(build(t, "options"))
			leaves := r.PID()
			r.Upgrade(1)
			wants(client.Dial(t, r.address, patience), c.change)
			r.AwaitExit(leaves)
			wants(follows, c.is)
			r.Finish()
		})
	}
}

// TestUpgradeNeedsNothingOfTheRuntimeDirectory: it may be full, read-only or, as here, gone; the takeover socket travels.
func TestUpgradeNeedsNothingOfTheRuntimeDirectory(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "run")
	r := start(t, "HANDOVER_NAME=shop", "HANDOVER_RUNTIME_DIR="+dir)
	r.Upgrade(1)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	r.Upgrade(2)
	handovertest.AssertNothingLost(t, r.finish())
	if _, err := os.Lstat(dir); !os.IsNotExist(err) {
		t.Errorf("a generation has made the directory anew: %v", err)
	}
}
