package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/handover-go/handover/host/control"
	"github.com/handover-go/handover/keeper/preflight"
)

// The exit codes of the command line. They are a contract: a number keeps its meaning.
const (
	exitOK       = 0
	exitError    = 1
	exitUsage    = 2
	exitInactive = 3 // of status alone
	exitUnknown  = 4 // of status alone

	exitVerification = 10
	exitResumed      = 11
	exitAborted      = 12
	exitDeadline     = 13
	exitDenied       = 14
)

// exits says what each code means; help shows it.
var exits = []struct {
	code    int
	meaning string
}{
	{exitOK, "done; of status: the service is active"},
	{exitError, "it failed, and standard error says how"},
	{exitUsage, "wrong use: nothing was asked of the service"},
	{exitInactive, "of status: the service is inactive"},
	{exitUnknown, "of status: how the service is cannot be found out"},
	{exitVerification, "the build was refused before it was started"},
	{exitResumed, "the new build was unhealthy, and was taken back"},
	{exitAborted, "the handover was aborted before the new build served"},
	{exitDeadline, "it took too long"},
	{exitDenied, "denied: another user's service, or it does not allow this now"},
}

// failures says, for each error that has a name, how the command ends and what to do next. The first that errors.Is finds
// holds, so the more special comes first.
var failures = []struct {
	is   error
	code int
	next string
}{
	{preflight.ErrUnfit, exitVerification, "give a build that runs on this host; the service was not asked"},
	{control.ErrVerification, exitVerification, "give a build that runs on this host; the service goes on as it was"},
	{control.ErrResumed, exitResumed, "the build before serves again; see the log of the service for what the new one did wrong, mend it and upgrade again"},
	{control.ErrBusy, exitError, `follow it by "handover status --watch", and ask again when it is over`},
	{control.ErrDenied, exitDenied, "ask as the user of the service or as root, and see that the service is running and not ending"},
	{control.ErrDeadline, exitDeadline, `see "handover status" for how it stands, and the log of the service for what takes so long`},
	{control.ErrAborted, exitAborted, "the service goes on as it was; see its log for what the new build did wrong, mend it and upgrade again"},
	{control.ErrNobody, exitError, `start the service, with HANDOVER_NAME set to its name; "handover doctor" finds what is in the way`},
	{control.ErrNoService, exitError, "start a service with HANDOVER_NAME set, or name its directory by --runtime-dir or HANDOVER_RUNTIME_DIR"},
	{control.ErrLost, exitError, `see "handover status" for how it stands, and the log of the service`},
	{control.ErrUnsupported, exitError, `use a "handover" of the version of the service; "handover version" tells this one's`},
	{context.Canceled, exitError, `interrupted: what was asked for goes on; see "handover status"`},
}

// usageError is wrong use of the command line.
type usageError struct{ error }

func wrongUse(format string, a ...any) error { return usageError{fmt.Errorf(format, a...)} }

// failure is an error with a remedy of its own, which may have an exit code of its own too.
type failure struct {
	error
	next string
	code int // 0: what the error has
}

func (f failure) Unwrap() error { return f.error }

// quietly ends a command with a code when all has been said.
type quietly struct{ code int }

func (q quietly) Error() string { return fmt.Sprintf("exit code %d", q.code) }

// judge is how a command ends that returned err, and what its user can do next.
func judge(err error) (code int, next string) {
	code, next = exitError, `see "handover doctor" for what is in the way on this host`
	var ambiguous *control.AmbiguousError
	if errors.As(err, &ambiguous) {
		return exitUsage, "give one of these names, or set HANDOVER_NAME"
	}
	for _, f := range failures {
		if errors.Is(err, f.is) {
			code, next = f.code, f.next
			break
		}
	}
	if own := (failure{}); errors.As(err, &own) {
		next = own.next
		if own.code != 0 {
			code = own.code
		}
	}
	return code, next
}

// report says what failed and what to do next, and returns the exit code.
func report(w io.Writer, err error) int {
	var silent quietly
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &silent):
		return silent.code
	}
	code, next := judge(err)
	var usage usageError
	if errors.As(err, &usage) {
		code, next = exitUsage, `see "handover --help", or --help after the command`
	}
	fmt.Fprintf(w, "handover: %s\n  %s\n", strings.ReplaceAll(err.Error(), "\n", "\n  "), next)
	return code
}

// exitHelp is the table of exit codes for people.
func exitHelp() string {
	var b strings.Builder
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "Exit codes:")
	for _, e := range exits {
		fmt.Fprintf(t, "%d\t%s\n", e.code, e.meaning)
	}
	_ = t.Flush() // a strings.Builder takes everything
	return b.String()
}
