//go:build linux

package notify_test

import (
	"log/slog"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/handover-go/handover/internal/notify"
)

// Whoever fed the watchdog before may have done so half its time ago: half its time from now would be too late.
func TestWatchdogIsFedAtOnce(t *testing.T) {
	q, heard := queue(t, time.Hour)
	q.Say(notify.Notice{Text: "READY=1", Feed: true})
	expect(t, heard, "READY=1\nWATCHDOG=1")
}

func TestWatchdogIsFedTwiceInItsTime(t *testing.T) {
	const watchdog = 500 * time.Millisecond
	q, heard := queue(t, watchdog)
	q.Say(notify.Notice{Text: "READY=1", Feed: true})
	expect(t, heard, "READY=1\nWATCHDOG=1")
	for range 3 {
		expect(t, heard, "WATCHDOG=1")
	}
	q.Say(notify.Notice{Text: "MAINPID=1"})
	for said := ""; said != "MAINPID=1"; said = receive(t, heard) { // and until then as before
	}
	if err := heard.SetReadDeadline(time.Now().Add(2 * watchdog)); err != nil {
		t.Fatal(err)
	}
	if n, err := heard.Read(make([]byte, 1)); err == nil {
		t.Errorf("%d bytes more were said by a process that feeds no longer", n)
	}
}

func TestWithoutAWatchdogNobodyIsFed(t *testing.T) {
	q, heard := queue(t, 0)
	q.Say(notify.Notice{Text: "READY=1", Feed: true})
	q.Say(notify.Notice{Text: "STOPPING=1", Feed: true})
	expect(t, heard, "READY=1")
	expect(t, heard, "STOPPING=1")
}

// queue returns one that tells the socket beside it.
func queue(t *testing.T, watchdog time.Duration) (*notify.Queue, *net.UnixConn) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "notify")
	heard, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("NOTIFY_SOCKET", path)
	t.Setenv("WATCHDOG_USEC", strconv.FormatInt(watchdog.Microseconds(), 10))
	q := notify.New(slog.New(slog.DiscardHandler))
	t.Cleanup(func() {
		q.Close()
		_ = heard.Close()
	})
	return q, heard
}

func expect(t *testing.T, heard *net.UnixConn, want string) {
	t.Helper()
	if said := receive(t, heard); said != want {
		t.Fatalf("said %q, want %q", said, want)
	}
}

func receive(t *testing.T, heard *net.UnixConn) string {
	t.Helper()
	if err := heard.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 4096)
	n, err := heard.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(b[:n]))
}
