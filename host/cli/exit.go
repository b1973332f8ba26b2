package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/handover-go/handover/host/agent"
	"github.com/handover-go/handover/host/agent/config"
	"github.com/handover-go/handover/host/control"
	"github.com/handover-go/handover/host/release"
	"github.com/handover-go/handover/host/service"
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
	{service.ErrVerification, exitVerification, "give a build that runs on this host; the service goes on as it was"},
	{release.ErrManifest, exitVerification, `give the artifact of this service with the manifest that "handover release sign" has made; the host is as it was`},
	{release.ErrSignature, exitVerification, "have the artifact signed by a key that this host trusts, or put its public key among those of --keys; the host is as it was"},
	{release.ErrDigest, exitVerification, "fetch the artifact again, and its manifest, from where it was signed; the host is as it was"},
	{release.ErrOlder, exitVerification, "give a newer version, or --allow-older; the host is as it was"},
	{release.ErrExpired, exitVerification, "have it signed anew, and see that the clock is right; the host is as it was"},
	{release.ErrUnsafe, exitVerification, "pack the artifact anew, with plain files and links within it only; the host is as it was"},
	{release.ErrTooLarge, exitVerification, "make the artifact smaller, or give a larger --max-size; the host is as it was"},
	{release.ErrNoSpace, exitVerification, `make room: "handover release prune" removes what nobody needs; the host is as it was`},
	{release.ErrNotWritable, exitVerification, "mend the directory, or name another by --dir; the host is as it was"},
	{release.ErrNotFound, exitError, `"handover release list NAME" shows those that there are`},
	{release.ErrAmbiguous, exitError, "give more of its name"},
	{release.ErrDamaged, exitError, `"handover release add" replaces a release that is damaged`},
	{release.ErrBusy, exitError, "ask again when the other has ended"},
	{service.ErrResumed, exitResumed, "the build before serves again; see the log of the service for what the new one did wrong, mend it and upgrade again"},
	{service.ErrBusy, exitError, `follow it by "handover status --watch", and ask again when it is over`},
	{service.ErrDenied, exitDenied, "ask as the user of the service or as root, and see that the service is running and not ending"},
	{service.ErrDeadline, exitDeadline, `see "handover status" for how it stands, and the log of the service for what takes so long`},
	{service.ErrAborted, exitAborted, "the service goes on as it was; see its log for what the new build did wrong, mend it and upgrade again"},
	{service.ErrNobody, exitError, `start the service, with HANDOVER_NAME set to its name; "handover doctor" finds what is in the way`},
	{service.ErrNoService, exitError, "start a service with HANDOVER_NAME set, or name its directory by --runtime-dir or HANDOVER_RUNTIME_DIR"},
	{service.ErrLost, exitError, `see "handover status" for how it stands, and the log of the service`},
	{service.ErrUnsupported, exitError, `use a "handover" of the version of the service; "handover version" tells this one's`},
	{control.ErrDenied, exitDenied, "ask as a user who has the role"},
	{control.ErrRefused, exitVerification, "give a release that this host accepts; the service goes on as it was"},
	{control.ErrResumed, exitResumed, "the build before serves again; see the log of the service for what the new one did wrong"},
	{control.ErrReturned, exitResumed, "the release before serves again; see the log of the service for what the new one did wrong"},
	{control.ErrAborted, exitAborted, "the service goes on as it was"},
	{control.ErrVetoed, exitAborted, "ask whoever runs the hook; the service goes on as it was"},
	{control.ErrDeadline, exitDeadline, "look at the service for how it stands"},
	{control.ErrInvalid, exitUsage, "see --help after the command"},
	{control.ErrUnknownService, exitError, `"handover services" shows those that the agent keeps`},
	{control.ErrUnknownRelease, exitError, `"handover release list NAME" shows those that there are`},
	{control.ErrUnknownUpgrade, exitError, `"handover history" shows those that there were`},
	{control.ErrNoRoute, exitError, `use an agent of the version of this "handover"; "handover agent status" tells its own`},
	{control.ErrBusy, exitError, `"handover status" shows what is under way; wait until it is over, or end it by "handover abort"`},
	{control.ErrConflict, exitError, `see "handover status" for how the service stands`},
	{control.ErrUnsupported, exitError, "use an agent and a keeper of a later version"},
	{control.ErrUnavailable, exitError, "ask again when the agent is back; what was begun goes on"},
	{control.ErrNoAgent, exitError, "start the agent, or name its address by --agent"},
	{control.ErrFailed, exitError, `see "handover status", and the log of the agent`},
	{agent.ErrAgentRuns, exitError, "stop the agent first, and the socket by which systemd would start it again"},
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
	var ambiguous *service.AmbiguousError
	if errors.As(err, &ambiguous) {
		return exitUsage, "give one of these names, or set HANDOVER_NAME"
	}
	for _, f := range failures {
		if errors.Is(err, f.is) {
			code, next = f.code, f.next
			break
		}
	}
	var faults config.Faults
	if errors.As(err, &faults) {
		return exitUsage, `mend the file; "handover agent check" tells when it is right`
	}
	var answer *control.Error
	if errors.As(err, &answer) && answer.Next != "" && !strings.Contains(answer.Next, "/v1/") { // a route is no advice at a command line
		next = answer.Next
	}
	if errors.Is(err, control.ErrAborted) || errors.Is(err, control.ErrResumed) || errors.Is(err, control.ErrReturned) {
		if answer != nil && answer.Upgrade != nil {
			next += fmt.Sprintf(`: "handover logs %s", "handover history %[1]s -o json"`, harmless(answer.Upgrade.Service))
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
