package hooks

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/handover-go/handover/host/agent/config"
)

// leave is how long what a hook has left behind may hold its output open, after its end.
const leave = time.Second

// program runs a hook that is one. It runs as the agent does, in the root directory.
func program(ctx context.Context, h config.Hook, e Event, body []byte) answer {
	var out tail
	cmd := exec.CommandContext(ctx, h.Exec[0], h.Exec[1:]...)
	cmd.Dir, cmd.Env = "/", variables(os.Environ(), e)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(body), &out, &out
	cmd.WaitDelay = leave
	group(cmd)

	err := cmd.Run()
	a := answer{outcome: Failed, attempts: 1}
	var exit *exec.ExitError
	switch {
	case err == nil, errors.Is(err, exec.ErrWaitDelay): // it exited 0, and left something behind
		a.outcome = Done
	case ctx.Err() != nil:
		a.detail = ended(ctx, h) + ", and was killed"
	case errors.As(err, &exit) && exit.Exited():
		a.outcome, a.detail = Vetoed, exit.String()
	default:
		a.detail = fmt.Sprintf("run %s: %v", h.Exec[0], err)
	}
	a.detail = with(a.detail, out.String())
	return a
}

// private begins the names of variables that are between the agent and who started it: a hook that took part in the agent's own handover, or spoke
// to systemd in its name, would harm it.
var private = []string{"HANDOVER", "NOTIFY_SOCKET=", "LISTEN_", "WATCHDOG_", "MAINPID="}

func variables(own []string, e Event) []string {
	env := slices.DeleteFunc(slices.Clone(own), func(v string) bool {
		return slices.ContainsFunc(private, func(p string) bool { return strings.HasPrefix(v, p) })
	})
	for _, v := range []struct{ name, value string }{
		{"KEY", e.Key}, {"PHASE", e.Phase}, {"UPGRADE", e.Upgrade}, {"SERVICE", e.Service}, {"NUMBER", strconv.FormatUint(e.Number, 10)}, {"KIND", e.Kind},
		{"FROM", e.From}, {"TO", e.To}, {"BY", e.By}, {"STATE", e.State}, {"REASON", e.Reason},
	} {
		// A zero byte, which someone may have given as a reason, ends a variable and would keep the hook from starting.
		env = append(env, "HANDOVER_HOOK_"+v.name+"="+strings.ReplaceAll(v.value, "\x00", ""))
	}
	return env
}

// tail keeps the last of what is written to it: what a program failed by is at the end.
type tail struct {
	kept []byte
	cut  bool
}

func (t *tail) Write(p []byte) (int, error) {
	t.kept = append(t.kept, p...)
	if over := len(t.kept) - maxDetail; over > 0 {
		t.kept, t.cut = slices.Delete(t.kept, 0, over), true
	}
	return len(p), nil
}

func (t *tail) String() string {
	text := strings.TrimSpace(strings.ToValidUTF8(string(t.kept), "?"))
	if t.cut {
		text = "… " + text
	}
	return text
}

// with joins why a hook ended and what it said.
func with(why, said string) string {
	if why == "" || said == "" {
		return why + said
	}
	return why + ": " + said
}
