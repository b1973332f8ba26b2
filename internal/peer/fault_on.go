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
// says where and how, in four words: "send" or "receive", the frame, "before", "within" or "after", "KILL" or "STOP".
// "RESUME..CARRY" is the CARRY that comes when a RESUME has passed on the link, in either direction. Whoever renames the file first
// strikes, and says so.
func faulty(t wire.Transport) wire.Transport {
	path := os.Getenv("HANDOVER_FAULT")
	b, err := os.ReadFile(path)
	words := strings.Fields(string(b))
	if err != nil || len(words) != 4 {
		return t
	}
	f := &fault{Transport: t, path: path, direction: words[0], frame: words[1], moment: words[2], signal: words[3]}
	if behind, frame, two := strings.Cut(f.frame, ".."); two {
		f.behind, f.frame = behind, frame
	}
	return f
}

type fault struct {
	wire.Transport
	path, direction, frame, moment, signal, behind string

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
	if f.moment == "before" {
		f.strike()
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
			} else {
				f.strike()
			}
		}
		f.seen = f.seen[whole:]
	}
	return n, fds, lost, err
}

func kindOf(p []byte) string { return wire.Kind(binary.BigEndian.Uint16(p[4:])).String() }

func (f *fault) strike() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if os.Rename(f.path, fmt.Sprintf("%s.%d", f.path, os.Getpid())) != nil {
		return // it has struck already
	}
	fmt.Fprintf(os.Stderr, "msg=%q pid=%d at=%d\n", "fault strikes", os.Getpid(), time.Now().UnixNano())
	signal := syscall.SIGKILL
	if f.signal == "STOP" {
		signal = syscall.SIGSTOP
	}
	_ = platform.Strike(signal)
}
