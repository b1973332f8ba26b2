//go:build debian

package systemd

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"testing"

	"github.com/handover-go/handover/handovertest"
)

// load is handovertest's driver inside a machine.
type load struct {
	t       *testing.T
	driver  *exec.Cmd
	input   io.WriteCloser
	answers *bufio.Reader
	faults  strings.Builder
	ended   bool
}

// drive starts the load, and returns when every client has been answered.
func (s *service) drive() *load {
	s.t.Helper()
	// Nothing that the driver does for a test lasts longer than its machine.
	l := &load{t: s.t, driver: s.command(context.Background(), "driver", "-address=127.0.0.1:8080", "-ledger="+ledger)}
	l.driver.Stderr = &l.faults
	var err error
	if l.input, err = l.driver.StdinPipe(); err != nil {
		s.t.Fatal(err)
	}
	output, err := l.driver.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	l.answers = bufio.NewReader(output)
	if err := l.driver.Start(); err != nil {
		s.t.Fatalf("drive: %v", err)
	}
	s.t.Cleanup(func() { _ = l.end() })
	if said := l.line(); said != "driving" {
		s.t.Fatalf("drive: %q", said)
	}
	return l
}

// answeredBy waits until that process has answered a request.
func (l *load) answeredBy(pid int) {
	l.t.Helper()
	l.tell("answer", pid)
}

// kill kills a process of the service: what it held is lost in a crash.
func (l *load) kill(pid int) {
	l.t.Helper()
	l.tell("kill", pid)
}

func (l *load) tell(verb string, pid int) {
	l.t.Helper()
	fmt.Fprintf(l.input, "%s %d\n", verb, pid)
	if said := l.line(); said != "ok" {
		l.t.Fatalf("%s %d: %s", verb, pid, said)
	}
}

// stop ends the load and returns what it saw.
func (l *load) stop() (report handovertest.Report) {
	l.t.Helper()
	fmt.Fprintln(l.input, "stop")
	if err := json.Unmarshal([]byte(l.line()), &report); err != nil {
		l.t.Fatalf("read the report: %v", err)
	}
	if err := l.end(); err != nil {
		l.t.Fatalf("drive: %v: %s", err, &l.faults)
	}
	return report
}

func (l *load) line() string {
	l.t.Helper()
	line, err := l.answers.ReadString('\n')
	if err != nil {
		err := l.end()
		l.t.Fatalf("the driver ended: %v: %s", err, &l.faults)
	}
	return strings.TrimSpace(line)
}

// end waits for the driver, which ends with its input.
func (l *load) end() error {
	if l.ended {
		return nil
	}
	l.ended = true
	l.input.Close()
	return l.driver.Wait()
}
