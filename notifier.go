package handover

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"time"

	"github.com/handover-go/handover/internal/platform"
)

// notifier tells systemd how the service is (sd_notify(3)). Without NOTIFY_SOCKET it does nothing.
//
// The unit needs NotifyAccess=all, as generations other than the main process speak too. READY and MAINPID come from
// whoever is the incumbent, RELOADING from the incumbent at the start of a handover; STOPPING only from a generation
// after which nobody serves.
type notifier struct {
	socket   string
	watchdog time.Duration
	log      *slog.Logger

	notices chan notice
	done    chan struct{} // closed when everything was said
}

// notice is what systemd is to be told.
type notice struct {
	text    string
	barrier bool // systemd must have worked through it before the next, and before this process ends
	feed    bool // from now on this process feeds the watchdog, or does not
}

// notifyTimeout bounds a message to systemd, and the wait until it has worked through those before.
const notifyTimeout = 5 * time.Second

func newNotifier(log *slog.Logger) *notifier {
	n := &notifier{
		socket: os.Getenv("NOTIFY_SOCKET"), log: log,
		notices: make(chan notice, 16), done: make(chan struct{}),
	}
	// WATCHDOG_PID names the first generation, but the one that serves feeds the watchdog.
	if usec, err := strconv.ParseInt(os.Getenv("WATCHDOG_USEC"), 10, 64); err == nil && usec > 0 {
		n.watchdog = time.Duration(usec) * time.Microsecond
	}
	if n.socket != "" {
		go n.run()
	}
	return n
}

// run sends what is to be said, in order, and feeds the watchdog, twice in its time, while this process serves.
func (n *notifier) run() {
	defer close(n.done)
	var hungry <-chan time.Time
	if n.watchdog > 0 {
		ticker := time.NewTicker(n.watchdog / 2)
		defer ticker.Stop()
		hungry = ticker.C
	}
	feed := false
	for {
		select {
		case m, more := <-n.notices:
			if !more {
				return
			}
			n.send(m)
			feed = m.feed
		case <-hungry:
			if feed {
				n.send(notice{text: "WATCHDOG=1"})
			}
		}
	}
}

func (n *notifier) send(m notice) {
	ctx, cancel := context.WithTimeout(context.Background(), notifyTimeout)
	defer cancel()
	err := platform.Notify(ctx, n.socket, m.text)
	if err == nil && m.barrier {
		err = platform.NotifyBarrier(ctx, n.socket)
	}
	if err != nil {
		n.log.Warn("systemd was not told", "message", m.text, "error", err)
	}
}

// say queues a message. The loop of life never waits for systemd: should the queue be full, systemd has not listened for
// a minute, and will not miss one message more.
func (n *notifier) say(m notice) {
	if n.socket == "" {
		return
	}
	select {
	case n.notices <- m:
	default:
		n.log.Warn("systemd was not told: it does not listen", "message", m.text)
	}
}

// serving says that this process is the service.
func (n *notifier) serving(succeeds bool) {
	message := "READY=1\nSTATUS=serving"
	if succeeds {
		message = fmt.Sprintf("MAINPID=%d\n%s", os.Getpid(), message)
	}
	n.say(notice{text: message, barrier: succeeds, feed: true})
}

// reloading says that a handover begins.
func (n *notifier) reloading() {
	n.say(notice{text: fmt.Sprintf("RELOADING=1\nMONOTONIC_USEC=%d\nSTATUS=handing over", platform.MonotonicUsec()), feed: true})
}

// ready says that a handover came to nothing, and this process serves on.
func (n *notifier) ready() { n.say(notice{text: "READY=1\nSTATUS=serving", feed: true}) }

// handedOver says that another process is the service now. close waits until systemd has taken note: the end of the main
// process would end the service.
func (n *notifier) handedOver(pid int) {
	n.say(notice{text: fmt.Sprintf("MAINPID=%d\nREADY=1", pid), barrier: true})
}

// stopping says that the service ends.
func (n *notifier) stopping() { n.say(notice{text: "STOPPING=1\nSTATUS=ending", feed: true}) }

// close waits until systemd has heard everything. Nothing is said afterwards.
func (n *notifier) close() {
	if n.socket == "" {
		return
	}
	close(n.notices)
	<-n.done
}
