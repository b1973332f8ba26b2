package keeper

import (
	"testing"

	"github.com/handover-go/handover/test/internal/control"
	"golang.org/x/sys/unix"
)

// TestKeeperThatHadNoDescriptorsAnswersAgain: who asks while none is free is answered when some are, and so is everybody after that.
// Guard: accept.Each, which accepts again.
func TestKeeperThatHadNoDescriptorsAnswersAgain(t *testing.T) {
	t.Parallel()
	r := start(t, kept{})
	begins, over := r.WatchFor("nobody is taken in"), r.WatchFor("clients are taken in again")
	var before unix.Rlimit
	must(t, unix.Prlimit(r.keeper, unix.RLIMIT_NOFILE, nil, &before))
	must(t, unix.Prlimit(r.keeper, unix.RLIMIT_NOFILE, &unix.Rlimit{Max: before.Max}, nil)) // those that are open stay
	early := make(chan error, 1)
	go func() {
		_, err := control.Ask(r.takeover, status, patience, nil)
		early <- err
	}()
	r.Line(begins)
	must(t, unix.Prlimit(r.keeper, unix.RLIMIT_NOFILE, &before, nil))
	must(t, <-early)
	r.Line(over)
	r.upgrades()
}
