//go:build !linux

package platform

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"syscall"
)

// unsupported names what was asked, and where.
func unsupported(what string) error {
	return fmt.Errorf("%s on %s: %w", what, runtime.GOOS, errors.ErrUnsupported)
}

func supported() error { return unsupported("handovers") }

func socketpair() (a, b int, err error) { return -1, -1, unsupported("socketpair") }

func checkStream(int) error { return unsupported("descriptor passing") }

func send(*net.UnixConn, []byte, []int) (int, error) { return 0, unsupported("descriptor passing") }

func recv(*net.UnixConn, []byte) (int, []int, error) {
	return 0, nil, unsupported("descriptor passing")
}

func readable(syscall.Conn) bool { return false }

func unsent(syscall.Conn) bool { return false }

func queued(syscall.Conn) (netip.Addr, bool) { return netip.Addr{}, false }

func closeFD(int) error { return unsupported("closing a descriptor") }

const cloneParent = 0

func spawn(*exec.Cmd, uintptr) (int, error) { return -1, unsupported("starting a process by pidfd") }

func subreaper() error { return unsupported("subreaper") }

func reap() []Exit { return nil }

func setCloseOnExec(int, bool) error { return unsupported("fcntl") }

func execute(string, []string, []string) error { return unsupported("exec") }

func sealed(string, []byte) (*os.File, error) { return nil, unsupported("memfd") }

func duplicate(int) (int, error) { return -1, unsupported("duplicating a descriptor") }

func socketKind(int) (string, bool, string, error) {
	return "", false, "", unsupported("examining a socket")
}

func freeDescriptors() (int, error) { return 0, unsupported("counting descriptors") }

func copyKeepAlive(int, int) error { return unsupported("copying socket options") }

func checkListening(int) error { return unsupported("adopting a listener") }

func checkDatagram(int) error { return unsupported("adopting a datagram socket") }

type keptOptions struct{}

func saveOptions(int) (keptOptions, error) {
	return keptOptions{}, unsupported("adopting a connection")
}

func (keptOptions) restore(int) error { return unsupported("adopting a connection") }

func relisten(int) error { return unsupported("listening again") }

func deafen(int) error { return unsupported("filtering a listener") }

func grouped(int) bool { return false }

func leaveGroup(int, netip.Addr) error { return unsupported("leaving a group") }

func peerCredentials(int) (Credentials, error) { return Credentials{}, unsupported("peer credentials") }

func openPidfd(int) (int, error) { return -1, unsupported("pidfd") }

func preparePidfd(int) (int, error) { return 0, unsupported("pidfd") }

func pidfdDead(int) (bool, error) { return false, nil }

const killSignal = 9

func pidfdSignal(int, int) error { return unsupported("pidfd") }

func notify(context.Context, string, string, []int) error { return unsupported("sd_notify") }

func passCredentials(syscall.Conn) error { return unsupported("SO_PASSCRED") }

func credentialsSpace() int { return 0 }

func sender([]byte) int { return 0 }

func acceptedInode(_, _ netip.AddrPort) (string, error) { return "", unsupported("sock_diag") }

func monotonicUsec() uint64 { return 0 }

func probeSocket(string) (int, string, error) { return -1, "", unsupported("probe socket") }

func optionDifferences(int, int) []string { return nil }

func dialSocket(context.Context, string) (*net.UnixConn, error) {
	return nil, unsupported("dialling a takeover socket")
}

func findRuntimeDir(string) (string, error) { return "", unsupported("runtime directory") }

func runtimeDir(string) (string, error) { return "", unsupported("runtime directory") }

func lockDir(string) (func(), error) { return nil, unsupported("file lock") }

func lock(string) (func(), error) { return nil, unsupported("file lock") }
