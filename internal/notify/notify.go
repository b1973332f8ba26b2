// Package notify tells the service manager, in order and without holding anyone up, how a service is (sd_notify(3)).
package notify

import (
	"context"
	"log/slog"
	"math"
	"os"
	"strconv"
	"time"

	"github.com/handover-go/handover/internal/platform"
)

// Queue is what the service manager is still to be told. Without NOTIFY_SOCKET it does nothing.
type Queue struct {
	socket   string
	watchdog time.Duration
	log      *slog.Logger

	notices chan Notice
	done    chan struct{} // closed when everything was said
}

// Notice is what the service manager is to be told.
type Notice struct {
	Text    string
	Barrier bool // it must have worked through this before the next, and before this process ends
	Feed    bool // from now on this process feeds the watchdog, or does not
}

// timeout bounds a message to the service manager, and the wait until it has worked through those before.
const timeout = 5 * time.Second

// New starts a queue. It reads NOTIFY_SOCKET and WATCHDOG_USEC.
func New(log *slog.Logger) *Queue {
	q := &Queue{
		socket: os.Getenv("NOTIFY_SOCKET"), log: log,
		notices: make(chan Notice, 16), done: make(chan struct{}),
	}
	// WATCHDOG_PID names the process that was started, but whoever serves feeds the watchdog.
	if usec, err := strconv.ParseInt(os.Getenv("WATCHDOG_USEC"), 10, 64); err == nil && usec > 0 {
		q.watchdog = time.Duration(usec) * time.Microsecond
	}
	if q.socket != "" {
		go q.run()
	}
	return q
}

// food is what the watchdog is fed with.
const food = "WATCHDOG=1"

// run sends what is to be said, in order, and feeds the watchdog, twice in its time, while this process is to.
func (q *Queue) run() {
	defer close(q.done)
	const never = time.Duration(math.MaxInt64)
	hungry := time.NewTimer(never)
	for {
		select {
		case n, more := <-q.notices:
			if !more {
				return
			}
			hungry.Stop()
			if n.Feed && q.watchdog > 0 { // at once: whoever fed it before may have done so half its time ago
				n.Text += "\n" + food
				hungry.Reset(q.watchdog / 2)
			}
			q.send(n)
		case <-hungry.C:
			hungry.Reset(q.watchdog / 2)
			q.send(Notice{Text: food})
		}
	}
}

func (q *Queue) send(n Notice) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	err := platform.Notify(ctx, q.socket, n.Text)
	if err == nil && n.Barrier {
		err = platform.NotifyBarrier(ctx, q.socket)
	}
	if err != nil {
		q.log.Warn("systemd was not told", "message", n.Text, "error", err)
	}
}

// Say queues a notice. It never waits: should the queue be full, the service manager has not listened for a minute, and
// will not miss one message more.
func (q *Queue) Say(n Notice) {
	if q.socket == "" {
		return
	}
	select {
	case q.notices <- n:
	default:
		q.log.Warn("systemd was not told: it does not listen", "message", n.Text)
	}
}

// Close waits until everything was said. Nothing is said afterwards.
func (q *Queue) Close() {
	if q.socket == "" {
		return
	}
	close(q.notices)
	<-q.done
}
