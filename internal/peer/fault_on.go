//go:build handoverfault && linux

package peer

import (
	"encoding/binary"
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/handover-go/handover/internal/platform"
	"github.com/handover-go/handover/internal/wire"
)

// faulty strikes this process at a frame, once in the life of a family of processes: the file that HANDOVER_FAULT names
// says where and how, in four words: "send" or "receive", the frame, "before", "within" or "after", "KILL" or "STOP".
// Whoever renames the file first strikes, and says so.
func faulty(t wire.Transport) wire.Transport {
	path := os.Getenv("HANDOVER_FAULT")
	b, err := os.ReadFile(path)
	words := strings.Fields(string(b))
	if err != nil || len(words) != 4 {
		return t
	}
	return &fault{Transport: t, path: path, direction: words[0], frame: words[1], moment: words[2], signal: words[3]}
}

type fault struct {
	wire.Transport
	path, direction, frame, moment, signal string

	mu   sync.Mutex
	due  bool   // the frame was received: strike when it has been handled
	seen []byte // received, not yet a whole frame
}

func (f *fault) Send(p []byte, fds []int) error {
	if f.direction != "send" || kindOf(p) != f.frame {
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
	if f.direction != "receive" {
		return n, fds, lost, err
	}
	f.seen = append(f.seen, p[:n]...)
	for len(f.seen) >= 16 {
		whole := 16 + int(binary.BigEndian.Uint32(f.seen[12:]))
		if len(f.seen) < whole {
			break
		}
		if kindOf(f.seen) == f.frame {
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
