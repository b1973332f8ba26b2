package handover

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/handover-go/handover/internal/peer"
	"github.com/handover-go/handover/internal/wire"
)

func TestSignalTableIsCurrent(t *testing.T) {
	config := defaults(t)
	var b strings.Builder
	b.WriteString("| state | SIGUSR2 | SIGTERM, SIGINT, end of Run's context |\n|---|---|---|\n")
	for s := range gone {
		fmt.Fprintf(&b, "| %s | %s | %s |\n", s, upgradeSignal(t, config, s), stopSignal(s))
	}
	current(t, "docs/signals.md", "signals", b.String())
}

// beforeRun reports whether the program has not called Run: signals are obeyed from then on.
func beforeRun(s state) bool {
	_, runs := next(s, onRun)
	return s == joining || runs && s != starting
}

// upgradeSignal sends SIGUSR2 to a life in state s, and says what it did.
func upgradeSignal(t *testing.T, config Config, s state) string {
	t.Helper()
	var log bytes.Buffer
	config.Logger = slog.New(slog.NewTextHandler(&log, nil))
	l := newLife(&Process{config: config, pid: 2}, s)
	recorder := &recorder{}
	other := &peer.Peer{Link: wire.NewLink(recorder, nil), Process: peer.Child(&os.Process{Pid: 3})}
	switch {
	case isOf(successorLife, s) && s != starting:
		l.peer, l.offer = other, &offer{}
	case s == draining:
		l.peer = other
	case s != serving && s != ending && s != starting:
		l.peer, l.attempt = other, &attempt{number: 1}
	}
	l.signalledUpgrade("SIGUSR2")
	switch {
	case len(l.raised) == 1 && l.raised[0].event == onUpgrade:
		row, _ := next(s, onUpgrade)
		return fmt.Sprintf("a handover begins: %s", row.to)
	case recorder.sent == wire.KindUpgrade:
		if beforeRun(s) {
			return "kept until Run, then passed on to the incumbent"
		}
		return "passed on to the generation that serves"
	case strings.Contains(log.String(), ErrInProgress.Error()):
		return "answered in the log with the number of the attempt under way"
	case strings.Contains(log.String(), ErrNotReady.Error()):
		return "refused in the log: " + ErrNotReady.Error()
	default:
		t.Errorf("SIGUSR2 in state %s: nothing happens\n%s", s, &log)
		return ""
	}
}

// stopSignal says what a request to end does in state s.
func stopSignal(s state) string {
	if beforeRun(s) {
		return "ends the process at once, as in any Go program: Run was not called"
	}
	if row, ok := next(s, onStop); ok {
		return strings.TrimSuffix(fmt.Sprintf("%s / %s", row.to, list(row.do)), " / ")
	}
	return "kept, and obeyed in " + list(untilStop(s))
}

// untilStop are the nearest states after s in which a request to end is obeyed.
func untilStop(s state) (obeyed []state) {
	seen := map[state]bool{s: true}
	for queue := []state{s}; len(queue) > 0; queue = queue[1:] {
		for _, row := range lifecycle[queue[0]] {
			if row == nil || seen[row.to] || row.to == gone {
				continue
			}
			seen[row.to] = true
			if _, ok := next(row.to, onStop); ok {
				obeyed = append(obeyed, row.to)
			} else {
				queue = append(queue, row.to)
			}
		}
	}
	return obeyed
}

func isOf(life []transition, s state) bool {
	for _, row := range life {
		if row.from == s {
			return true
		}
	}
	return false
}

// recorder is a transport that notes which kind of frame was sent.
type recorder struct {
	wire.Transport
	sent wire.Kind
}

func (r *recorder) SetWriteDeadline(time.Time) error { return nil }

func (r *recorder) Send(p []byte, _ []int) error {
	f, err := wire.NewLink(&played{p: p}, nil).Receive()
	if err == nil {
		r.sent = f.Kind()
	}
	return err
}

// played is a transport from which one frame can be read.
type played struct {
	wire.Transport
	p []byte
}

func (r *played) Recv(p []byte) (n int, fds []int, lost bool, err error) {
	n = copy(p, r.p)
	r.p = r.p[n:]
	return n, nil, false, nil
}
