package handover

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"sync"
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

	mu     sync.Mutex
	feeder context.CancelFunc
	wait   sync.WaitGroup
}

// notifyTimeout bounds a message to systemd, and the wait until it has worked through those before.
const notifyTimeout = 5 * time.Second

func newNotifier(log *slog.Logger) *notifier {
	n := &notifier{socket: os.Getenv("NOTIFY_SOCKET"), log: log}
	// WATCHDOG_PID names the first generation, but the one that serves feeds the watchdog.
	if usec, err := strconv.ParseInt(os.Getenv("WATCHDOG_USEC"), 10, 64); err == nil && usec > 0 && n.socket != "" {
		n.watchdog = time.Duration(usec) * time.Microsecond
	}
	return n
}

// say sends messages in order, without holding up the caller.
func (n *notifier) say(message string, barrier bool) {
	if n.socket == "" {
		return
	}
	n.mu.Lock()
	ctx, cancel := context.WithTimeout(context.Background(), notifyTimeout)
	err := platform.Notify(ctx, n.socket, message)
	n.mu.Unlock()
	if err != nil || !barrier {
		cancel()
		n.complain(message, err)
		return
	}
	n.wait.Add(1)
	go func() {
		defer n.wait.Done()
		defer cancel()
		n.complain("BARRIER=1", platform.NotifyBarrier(ctx, n.socket))
	}()
}

func (n *notifier) complain(message string, err error) {
	if err != nil {
		n.log.Warn("systemd was not told", "message", message, "error", err)
	}
}

// serving says that this process is the service.
func (n *notifier) serving(succeeds bool) {
	message := "READY=1\nSTATUS=serving"
	if succeeds {
		message = fmt.Sprintf("MAINPID=%d\n%s", os.Getpid(), message)
	}
	n.say(message, succeeds)
	n.feed()
}

// reloading says that a handover begins.
func (n *notifier) reloading() {
	n.say(fmt.Sprintf("RELOADING=1\nMONOTONIC_USEC=%d\nSTATUS=handing over", platform.MonotonicUsec()), false)
}

// ready says that a handover came to nothing, and this process serves on.
func (n *notifier) ready() { n.say("READY=1\nSTATUS=serving", false) }

// handedOver says that another process is the service now. close waits until systemd has taken note: the end of the main
// process would end the service.
func (n *notifier) handedOver(pid int) {
	n.starve()
	n.say(fmt.Sprintf("MAINPID=%d\nREADY=1", pid), true)
}

// stopping says that the service ends.
func (n *notifier) stopping() { n.say("STOPPING=1\nSTATUS=ending", false) }

// feed feeds the watchdog, twice in its time, until starve.
func (n *notifier) feed() {
	if n.watchdog == 0 {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	n.mu.Lock()
	n.feeder = cancel
	n.mu.Unlock()
	n.wait.Add(1)
	go func() {
		defer n.wait.Done()
		ticker := time.NewTicker(n.watchdog / 2)
		defer ticker.Stop()
		for {
			n.say("WATCHDOG=1", false)
			select {
			case <-ticker.C:
			case <-ctx.Done():
				return
			}
		}
	}()
}

func (n *notifier) starve() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.feeder != nil {
		n.feeder()
		n.feeder = nil
	}
}

// close stops feeding and waits until systemd has heard everything.
func (n *notifier) close() {
	n.starve()
	n.wait.Wait()
}
