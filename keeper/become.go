package keeper

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync/atomic"

	"github.com/handover-go/handover/internal/platform"
)

// The variables by which a keeper tells a process of its own program to become another, and where to report why it cannot.
const (
	becomeVariable = "HANDOVER_BECOME"
	reportVariable = "HANDOVER_BECOME_REPORT"
)

var (
	becomes atomic.Bool // Become was called

	errBecome = errors.New("Config.Listen needs a call of keeper.Become at the beginning of main")
)

// Become makes this process the program that a keeper has started it to become, and does not return then; in every other
// process it returns at once. A program whose keepers have a Config.Listen calls it at the beginning of main, before it starts
// anything, reads its arguments or opens a file.
//
// A program that is given sockets finds its own process number in LISTEN_PID (sd_listen_fds(3)), which nobody can know before
// that process exists. So the keeper starts its own program once more, which sets the variable and executes the service in its
// place: no process stands between the two.
func Become() {
	becomes.Store(true)
	path := os.Getenv(becomeVariable)
	if path == "" {
		return
	}
	err := become(path)
	fmt.Fprintln(os.Stderr, err) // the keeper may have gone
	os.Exit(127)                 // as a shell does
}

// become returns only an error, which the keeper was told.
func become(path string) error {
	fd, err := strconv.Atoi(os.Getenv(reportVariable))
	if err == nil {
		err = platform.Disinherit(fd)
	}
	if err != nil {
		return fmt.Errorf("find the keeper: %s: %w", reportVariable, err)
	}
	report := os.NewFile(uintptr(fd), "report")
	_ = os.Unsetenv(becomeVariable)
	_ = os.Unsetenv(reportVariable)
	if err = os.Setenv("LISTEN_PID", strconv.Itoa(os.Getpid())); err == nil {
		err = platform.Exec(path, os.Args, os.Environ())
	}
	_, _ = report.WriteString(err.Error())
	return err
}
