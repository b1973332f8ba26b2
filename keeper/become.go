package keeper

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"sync/atomic"

	"github.com/handover-go/handover/internal/platform"
)

// The variables by which a keeper tells a process of its own program to become another, and where to report why it cannot.
const (
	becomeVariable = "HANDOVER_BECOME"
	reportVariable = "HANDOVER_BECOME_REPORT"
	limitsVariable = "HANDOVER_BECOME_LIMITS"

	// midwifeVariable has it start the other as a child, with so many sockets, and end when that is to be the keeper's.
	midwifeVariable = "HANDOVER_BECOME_MIDWIFE"
)

var (
	becomes atomic.Bool // Become was called

	errBecome = errors.New("Config.Listen and Config.Limits need a call of keeper.Become at the beginning of main")
)

// Become makes this process the program that a keeper has started it to become, and does not return then; in every other
// process it returns at once. A program whose keepers have a Config.Listen or Config.Limits calls it at the beginning of main, before it starts
// anything, reads its arguments or opens a file.
//
// A program that is given sockets finds its own process number in LISTEN_PID (sd_listen_fds(3)), which nobody can know before
// that process exists; and limits have to stand before the service begins, while the keeper must not have them. So the keeper starts its
// own program once more, which sets both and executes the service in its place: no process stands between the two.
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
	limits := os.Getenv(limitsVariable)
	_ = os.Unsetenv(limitsVariable)
	if os.Getenv("LISTEN_FDS") != "" {
		err = os.Setenv("LISTEN_PID", strconv.Itoa(os.Getpid()))
	}
	if err == nil {
		err = limit(limits)
	}
	sockets, child := os.LookupEnv(midwifeVariable)
	switch {
	case err != nil:
	case child:
		err = bear(path, sockets, report)
	default:
		err = platform.Exec(path, os.Args, os.Environ())
	}
	_, _ = report.WriteString(err.Error())
	return err
}

// bear starts the program, and ends with it, or when the keeper lets go of the descriptor behind the sockets. It returns only an error,
// before it has told the keeper that there was none.
func bear(path, sockets string, report *os.File) error {
	n, err := strconv.Atoi(sockets)
	if err != nil {
		return fmt.Errorf("start %q: %s: %w", path, midwifeVariable, err)
	}
	_ = os.Unsetenv(midwifeVariable)
	files := []*os.File{os.Stdin, os.Stdout, os.Stderr}
	for i := range n {
		files = append(files, os.NewFile(uintptr(firstDescriptor+i), "socket"))
	}
	stay := os.NewFile(uintptr(firstDescriptor+n), "keeper")
	p, err := os.StartProcess(path, os.Args, &os.ProcAttr{Files: files, Env: os.Environ()})
	if err != nil {
		return fmt.Errorf("start %q: %w", path, err)
	}
	_ = report.Close()
	go func() {
		if state, err := p.Wait(); err != nil || !state.Success() {
			os.Exit(1)
		}
		os.Exit(0)
	}()
	_, _ = io.Copy(io.Discard, stay)
	os.Exit(0)
	return nil
}
