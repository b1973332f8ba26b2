package handover

import (
	"fmt"
	"log/slog"
	"os"

	"github.com/handover-go/handover/internal/notify"
	"github.com/handover-go/handover/internal/platform"
)

// notifier tells systemd how the service is (sd_notify(3)). Without NOTIFY_SOCKET it does nothing.
//
// The unit needs NotifyAccess=all, as generations other than the main process speak too. READY and MAINPID come from
// whoever is the incumbent, RELOADING from the incumbent at the start of a handover; STOPPING only from a generation
// after which nobody serves.
type notifier struct{ *notify.Queue }

func newNotifier(log *slog.Logger) notifier { return notifier{notify.New(log)} }

// serving says that this process is the service.
func (n notifier) serving(succeeds bool) {
	message := "READY=1\nSTATUS=serving"
	if succeeds {
		message = fmt.Sprintf("MAINPID=%d\n%s", os.Getpid(), message)
	}
	n.Say(notify.Notice{Text: message, Barrier: succeeds, Feed: true})
}

// reloading says that a handover begins.
func (n notifier) reloading() {
	n.Say(notify.Notice{Text: fmt.Sprintf("RELOADING=1\nMONOTONIC_USEC=%d\nSTATUS=handing over", platform.MonotonicUsec()), Feed: true})
}

// ready says that a handover came to nothing, and this process serves on.
func (n notifier) ready() { n.Say(notify.Notice{Text: "READY=1\nSTATUS=serving", Feed: true}) }

// handedOver says that another process is the service now. Close waits until systemd has taken note: the end of the main
// process would end the service.
func (n notifier) handedOver(pid int) {
	n.Say(notify.Notice{Text: fmt.Sprintf("MAINPID=%d\nREADY=1", pid), Barrier: true})
}

// stopping says that the service ends.
func (n notifier) stopping() { n.Say(notify.Notice{Text: "STOPPING=1\nSTATUS=ending", Feed: true}) }
