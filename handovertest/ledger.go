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

// RecordAccepts makes srv record each connection that it begins and ends to serve in
// the file PID.accepts of the directory $HANDOVERTEST_LEDGER, so that a driver
// can tell what a killed process held. Without that variable it does nothing.
// It chains srv.ConnState, and has to be called before srv serves. The file
// stays open as long as the process lives. A process killed between accept(2),
// or the arrival of a connection from another process, and the line leaves the connection unexplained: see [Report.Unwritten].
func RecordAccepts(srv *http.Server) error {
	dir := os.Getenv(ledgerEnv)
	if dir == "" {
		return nil
	}
	return recordAccepts(srv, dir, os.Getpid())
}

func recordAccepts(srv *http.Server, dir string, pid int) error {
	file, err := os.OpenFile(ledgerPath(dir, pid), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open accept ledger: %w", err)
	}
	next := srv.ConnState
	srv.ConnState = func(c net.Conn, state http.ConnState) {
		if state == http.StateNew || state == http.StateClosed {
			// One write a line: appended whole, and kept by the page cache when
			// the process is killed. A line that cannot be written turns the
			// loss of its connection into a plain one, which a test will report.
			fmt.Fprintf(file, "%s %s %d %s\n", c.RemoteAddr(), port(c.LocalAddr().String()), time.Now().UnixNano(), state)
		}
		if next != nil {
			next(c, state)
		}
	}
	return nil
}

func ledgerPath(dir string, pid int) string { return filepath.Join(dir, strconv.Itoa(pid)+".accepts") }

// keptLedger reports whether a process has kept one. Nothing is explained by the death of one that has not.
func keptLedger(dir string, pid int) bool {
	_, err := os.Stat(ledgerPath(dir, pid))
	return err == nil
}

// port is what tells a service's own connections from others to the same process: a client's port may be in use for both.
func port(address string) string {
	if _, p, err := net.SplitHostPort(address); err == nil {
		return p
	}
	return "-" // unix
}

// entry is one line of a ledger: a process began to serve a connection, or it ended to, because it closed the connection
// or passed it on.
type entry struct {
	pid  int
	at   time.Time
	left bool
}

// death is a process that was killed, the instant before it was, and one at which it was dead: on a busy machine the signal is sent, and
// heeded by each of its threads, some time later.
type death struct {
	pid      int
	at, dead time.Time
	stall    time.Duration // how late what happened then may have been noticed, see Report.OwnStall
}

// lastBreath is how far apart a death and what it did may seem: lines and losses are written down a little later than they come about.
// A pid that accepts later than that is another process's.
const lastBreath = 100 * time.Millisecond

// longestDeath bounds what is believed of an instant at which a process was dead.
const longestDeath = time.Second

// breath is lastBreath on the machine as it is.
func (d death) breath() time.Duration { return lastBreath + min(d.stall, longestDeath) }

// over is when the process did nothing any more, and everybody had noticed.
func (d death) over() time.Time {
	end := d.at.Add(d.breath())
	if dead := d.dead; dead.After(end) {
		end = dead
	}
	if most := d.at.Add(longestDeath); end.After(most) {
		end = most
	}
	return end
}

// ledger finds the process that held a connection. A connection is named by
// its client's address and its life, because ports are used again.
type ledger map[string][]entry

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
		if len(words) != 4 {
			return fmt.Errorf("%s: line %q: not an address, a port, a time and a state", path, lines.Text())
		}
		remote := words[0]
		nanos, err := strconv.ParseInt(words[2], 10, 64)
		if err != nil {
			return fmt.Errorf("%s: line %q: %w", path, lines.Text(), err)
		}
		if words[1] != local {
			continue
		}
		l[remote] = append(l[remote], entry{pid, time.Unix(0, nanos), words[3] == http.StateClosed.String()})
	}
	return lines.Err()
}

// holder returns who was the last to accept the connection of that loss, or to be given it, and when it ended to serve it, if
// it did before anybody could see that.
func (l ledger) holder(loss Loss) (began entry, left time.Time) {
	// Ledger lines carry the wall clock alone.
	opened, lost := loss.Opened.Round(0), loss.At.Round(0)
	for _, e := range l[loss.Local] {
		if !e.left && !e.at.Before(opened) && !e.at.After(lost) && e.at.After(began.at) {
			began = e
		}
	}
	for _, e := range l[loss.Local] {
		if e.left && e.pid == began.pid && !e.at.Before(began.at) && (left.IsZero() || e.at.Before(left)) {
			left = e.at
		}
	}
	return began, left
}

// diedHolding reports whether the process that held the connection of that loss is among the deaths, and was killed before the
// loss and before it gave the connection up.
func (l ledger) diedHolding(loss Loss, deaths []death) bool {
	holder, left := l.holder(loss)
	for _, d := range deaths {
		held := left.IsZero() || !left.Before(d.at.Round(0))
		if d.pid == holder.pid && holder.pid != 0 && held && !loss.At.Before(d.at) && !holder.at.After(d.over()) {
			return true
		}
	}
	return false
}

// unwritten reports whether nobody held the connection of that loss, and a process was killed at the moment when it came or was
// passed on, and went: that process may have had it without the time for its line, or not yet sent it on. Who was killed with a connection in its
// hands may have had it there for a while, as connections go with rests, and at their receiver's pace.
func (l ledger) unwritten(loss Loss, deaths []death) bool {
	holder, since := l.holder(loss)
	if holder.pid == 0 {
		since = loss.Opened
	} else if since.IsZero() || since.Sub(loss.At) > lastBreath {
		return false
	}
	for _, d := range deaths {
		lately := d.breath()
		if d.pid == holder.pid {
			lately = longestPassage
		}
		if !loss.At.Before(d.at) && loss.At.Before(d.over()) && d.at.Sub(since) < lately && since.Before(d.over()) {
			return true
		}
	}
	return false
}

// longestPassage is how long a connection is believed to have been on its way from a process that was killed.
const longestPassage = time.Second
