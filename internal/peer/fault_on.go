//go:build handoverfault && linux

package peer

import (
	"encoding/binary"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/handover-go/handover/internal/platform"
	"github.com/handover-go/handover/internal/wire"
)

// faulty strikes this process at a frame, once in the life of a family of processes: the file that HANDOVER_FAULT names
// says where and how, in four words: "send" or "receive", the frame, where in it, and what happens there.
//
//	KILL, STOP  before, within or after the frame: to the process
//	HALT        is a STOP from which the test kills it
//	DELAY       by that time: it is sent late, by who does nothing else meanwhile, or arrives late
//	CORRUPT     a bit of the magic, kind, length, body or last number is another; or the frame is cut short, or sent twice
//
// "RESUME..CARRY" is the CARRY that comes when a RESUME has passed on the link, in either direction. Whoever renames the file first
// strikes, and says so.
func faulty(t wire.Transport) wire.Transport {
	path := os.Getenv("HANDOVER_FAULT")
	b, err := os.ReadFile(path)
	words := strings.Fields(string(b))
	if err != nil || len(words) != 4 {
		return t
	}
	f := &fault{Transport: t, path: path, content: string(b), direction: words[0], frame: words[1], moment: words[2], effect: words[3]}
	if behind, frame, two := strings.Cut(f.frame, ".."); two {
		f.behind, f.frame = behind, frame
	}
	return f
}

type fault struct {
	wire.Transport
	path, content, direction, frame, moment, effect, behind string

	mu     sync.Mutex
	passed atomic.Bool // the frame behind which the fault strikes
	due    bool        // the frame was received: strike when it has been handled
	seen   []byte      // received, not yet a whole frame
}

// meant reports whether a frame of that kind is the one to strike at.
func (f *fault) meant(kind string) bool {
	if f.behind != "" && kind == f.behind {
		f.passed.Store(true)
	}
	return kind == f.frame && (f.behind == "" || f.passed.Load())
}

func (f *fault) Send(p []byte, fds []int) error {
	if !f.meant(kindOf(p)) || f.direction != "send" {
		return f.Transport.Send(p, fds)
	}
	if f.effect == "CORRUPT" {
		return f.corrupt(p, fds)
	}
	if f.moment == "before" {
		f.strike()
	}
	if f.effect == "DELAY" && f.strike() {
		f.wait()
		_ = f.SetWriteDeadline(time.Now().Add(wire.SendTimeout)) // it was set before
	}
	if f.moment == "within" {
		if err := f.Transport.Send(p[:len(p)/2], fds); err != nil {
			return err
		}
		f.strike()
		return f.Transport.Send(p[len(p)/2:], nil)
	}
	err := f.Transport.Send(p, fds)
	if f.moment == "after" {
		f.strike()
	}
	return err
}

// corrupt sends the frame as it should not be. The attempt's number stands in for the body of a frame that has none.
func (f *fault) corrupt(p []byte, fds []int) error {
	if !f.strike() {
		return f.Transport.Send(p, fds)
	}
	bad := append([]byte(nil), p...)
	body := 11
	if len(p) > 16 {
		body = 16
	}
	switch f.moment {
	case "magic":
		bad[0] ^= 1
	case "kind":
		bad[4] ^= 1
	case "length":
		bad[15] ^= 1
	case "body":
		bad[body] ^= 1
	case "number": // of the last thing that the frame names
		bad[len(bad)-2] ^= 1
	case "cut":
		bad = bad[:len(bad)/2]
	case "twice":
		if err := f.Transport.Send(p, fds); err != nil {
			return err
		}
	}
	return f.Transport.Send(bad, fds)
}

func (f *fault) Recv(p []byte) (n int, fds []int, lost bool, err error) {
	if f.due {
		f.due = false
		f.strike()
	}
	n, fds, lost, err = f.Transport.Recv(p)
	f.seen = append(f.seen, p[:n]...)
	for len(f.seen) >= 16 {
		whole := 16 + int(binary.BigEndian.Uint32(f.seen[12:]))
		if len(f.seen) < whole {
			break
		}
		if f.meant(kindOf(f.seen)) && f.direction == "receive" {
			if f.moment == "after" {
				f.due = true
			} else if f.strike() && f.effect == "DELAY" {
				f.wait()
			}
		}
		f.seen = f.seen[whole:]
	}
	return n, fds, lost, err
}

func kindOf(p []byte) string { return wire.Kind(binary.BigEndian.Uint16(p[4:])).String() }

func (f *fault) wait() {
	d, err := time.ParseDuration(f.moment)
	if err != nil {
		fmt.Fprintf(os.Stderr, "fault: delay by %q: %v\n", f.moment, err)
	}
	<-time.After(d)
}

// strike reports whether it is this process that does, now. A fault that is no longer that of the file is over.
func (f *fault) strike() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if b, err := os.ReadFile(f.path); err != nil || string(b) != f.content {
		return false
	}
	if os.Rename(f.path, fmt.Sprintf("%s.%d", f.path, os.Getpid())) != nil {
		return false // it has struck already
	}
	fmt.Fprintf(os.Stderr, "msg=%q pid=%d at=%d\n", "fault strikes", os.Getpid(), time.Now().UnixNano())
	switch f.effect {
	case "KILL":
		_ = platform.Strike(syscall.SIGKILL)
	case "STOP", "HALT":
		_ = platform.Strike(syscall.SIGSTOP)
	}
	return true
}
