package handovertest

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// ledgerEnv names the directory of the accept ledgers to a service.
const ledgerEnv = "HANDOVERTEST_LEDGER"

// RecordAccepts makes srv record each connection that it begins to serve in
// the file PID.accepts of the directory $HANDOVERTEST_LEDGER, so that a driver
// can tell what a killed process held. Without that variable it does nothing.
// It chains srv.ConnState, and has to be called before srv serves. The file
// stays open as long as the process lives. A process killed between accept(2)
// and the line leaves the connection unexplained: see [Report.Unwritten].
func RecordAccepts(srv *http.Server) error {
	dir := os.Getenv(ledgerEnv)
	if dir == "" {
		return nil
	}
	return recordAccepts(srv, dir, os.Getpid())
}

func recordAccepts(srv *http.Server, dir string, pid int) error {
	path := filepath.Join(dir, strconv.Itoa(pid)+".accepts")
	ledger, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open accept ledger: %w", err)
	}
	next := srv.ConnState
	srv.ConnState = func(c net.Conn, state http.ConnState) {
		if state == http.StateNew {
			// One write a line: appended whole, and kept by the page cache when
			// the process is killed. A line that cannot be written turns the
			// loss of its connection into a plain one, which a test will report.
			fmt.Fprintf(ledger, "%s %s %d\n", c.RemoteAddr(), port(c.LocalAddr().String()), time.Now().UnixNano())
		}
		if next != nil {
			next(c, state)
		}
	}
	return nil
}

// port is what tells a service's own connections from others to the same process: a client's port may be in use for both.
func port(address string) string {
	if _, p, err := net.SplitHostPort(address); err == nil {
		return p
	}
	return "-" // unix
}

// accept is one line of a ledger.
type accept struct {
	pid int
	at  time.Time
}

// death is a process that was killed, and the instant before it was.
type death struct {
	pid int
	at  time.Time
}

// lastBreath is for how long a process may have gone on accepting after the instant of its death, which is the one before the
// signal was sent. A pid that accepts later than that is another process's.
const lastBreath = 100 * time.Millisecond

// unwritten reports whether no process has recorded the connection of that loss, and one was killed at the moment when it came
// and went: it may have accepted it without the time for its line.
func (l ledger) unwritten(loss Loss, deaths []death) bool {
	for _, a := range l[loss.Local] {
		if !a.at.Before(loss.Opened.Round(0)) && !a.at.After(loss.At.Round(0)) {
			return false
		}
	}
	for _, d := range deaths {
		if after := loss.At.Sub(d.at); after >= 0 && after < lastBreath && d.at.Sub(loss.Opened).Abs() < lastBreath {
			return true
		}
	}
	return false
}

// ledger finds the process that held a connection. A connection is named by
// its client's address and its life, because ports are used again.
type ledger map[string][]accept

// address is the service's: connections to others are passed over.
func readLedger(dir, address string) (ledger, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.accepts"))
	if err != nil {
		return nil, fmt.Errorf("read accept ledgers: %w", err)
	}
	all := ledger{}
	for _, file := range files {
		if err := all.read(file, port(address)); err != nil {
			return nil, fmt.Errorf("read accept ledger: %w", err)
		}
	}
	return all, nil
}

func (l ledger) read(path, local string) error {
	pid, err := strconv.Atoi(strings.TrimSuffix(filepath.Base(path), ".accepts"))
	if err != nil {
		return err
	}
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		words := strings.Split(lines.Text(), " ")
		if len(words) != 3 {
			return fmt.Errorf("%s: line %q: not an address, a port and a time", path, lines.Text())
		}
		remote := words[0]
		nanos, err := strconv.ParseInt(words[2], 10, 64)
		if err != nil {
			return fmt.Errorf("%s: line %q: %w", path, lines.Text(), err)
		}
		if words[1] != local {
			continue
		}
		l[remote] = append(l[remote], accept{pid, time.Unix(0, nanos)})
	}
	return lines.Err()
}

// diedHolding reports whether the process that was the last to accept the
// connection of that loss, or to be given it, is among the deaths and was
// killed before the loss.
func (l ledger) diedHolding(loss Loss, deaths []death) bool {
	var holder accept
	for _, a := range l[loss.Local] {
		// Ledger lines carry the wall clock alone.
		within := !a.at.Before(loss.Opened.Round(0)) && !a.at.After(loss.At.Round(0))
		if within && a.at.After(holder.at) {
			holder = a
		}
	}
	for _, d := range deaths {
		if d.pid == holder.pid && holder.pid != 0 && !loss.At.Before(d.at) && !holder.at.After(d.at.Add(lastBreath)) {
			return true
		}
	}
	return false
}
