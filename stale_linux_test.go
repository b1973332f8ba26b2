package handover

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// abandoned makes a socket at path as a killed process leaves it: there, and nobody's.
func abandoned(t *testing.T, network, path string) {
	t.Helper()
	if network == "unixgram" {
		c, err := net.ListenUnixgram(network, &net.UnixAddr{Name: path, Net: network})
		if err != nil {
			t.Fatal(err)
		}
		_ = c.Close()
		return
	}
	ln, err := net.ListenUnix(network, &net.UnixAddr{Name: path, Net: network})
	if err != nil {
		t.Fatal(err)
	}
	ln.SetUnlinkOnClose(false)
	_ = ln.Close()
}

func TestPathOfADeadProcessIsBoundAnew(t *testing.T) {
	for _, network := range []string{"unix", "unixgram"} {
		path := filepath.Join(t.TempDir(), "s")
		abandoned(t, network, path)
		if _, err := os.Lstat(path); err != nil {
			t.Fatal(err)
		}
		s := newSockets(net.ListenConfig{}, slog.New(slog.DiscardHandler))
		var err error
		if network == "unix" {
			_, err = s.listen(context.Background(), network, path)
		} else {
			_, err = s.listenPacket(context.Background(), network, path)
		}
		if err != nil {
			t.Errorf("%s: %v", network, err)
		}
		s.close()
	}
}

func TestPathOfALivingProcessOrOfAFileIsLeftAlone(t *testing.T) {
	dir := t.TempDir()
	ln, err := net.Listen("unix", filepath.Join(dir, "alive"))
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if err := os.WriteFile(filepath.Join(dir, "file"), []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := newSockets(net.ListenConfig{}, slog.New(slog.DiscardHandler))
	defer s.close()
	for name, why := range map[string]string{"alive": "another process answers", "file": "no socket"} {
		_, err := s.listen(context.Background(), "unix", filepath.Join(dir, name))
		if !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: %v, want that the address is in use, as %s", name, err, why)
		}
		if _, err := os.Lstat(filepath.Join(dir, name)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
