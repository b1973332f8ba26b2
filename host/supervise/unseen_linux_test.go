package supervise

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/handover-go/handover/internal/wire"
)

// listenerVariable has this program listen at descriptor 3, and end.
const listenerVariable = "SUPERVISE_LISTENER"

func TestMain(m *testing.M) {
	if os.Getenv(listenerVariable) != "" {
		if err := syscall.Listen(3, 8); err != nil {
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// TestServiceWhoseEndIsNotSeenIsReachedAgain, and not asked over and over: it fails if converse takes every error of Wait for the time that is over.
func TestServiceWhoseEndIsNotSeenIsReachedAgain(t *testing.T) {
	sc := newScene(t, Config{})
	f := sc.answers("final", wire.Living{Dir: sc.two.Dir})
	gone := exec.Command("/proc/self/exe")
	gone.Env = append(os.Environ(), listenerVariable+"=1", "GORACE=atexit_sleep_ms=0")
	sc.must(f.ListenAs(gone)) // no process has this number any more
	sc.runs()
	limit, enough := context.WithTimeout(t.Context(), 10*time.Second)
	defer enough()
	err := sc.s.until(limit, func(st Status) (bool, error) { return strings.Contains(st.Reason, "its end is not seen"), nil })
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
	sc.answers("final", wire.Living{Dir: sc.two.Dir})
	sc.must(sc.s.Serves(limit))
}
