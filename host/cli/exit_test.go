package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/handover-go/handover/host/agent/config"
	"github.com/handover-go/handover/host/control"
	"github.com/handover-go/handover/host/service"
	"github.com/handover-go/handover/internal/wire"
)

func TestEveryExitCodeIsExplained(t *testing.T) {
	explained := map[int]bool{}
	for _, e := range exits {
		explained[e.code] = true
	}
	for _, f := range failures {
		if !explained[f.code] || f.next == "" {
			t.Errorf("%v: exit code %d, %q", f.is, f.code, f.next)
		}
	}
}

func TestReadmeHasTheExitCodesAndTheCommands(t *testing.T) {
	page, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range exits {
		if !strings.Contains(string(page), fmt.Sprintf("\n| %d | %s |\n", e.code, e.meaning)) {
			t.Errorf("README.md lacks exit code %d: %s", e.code, e.meaning)
		}
	}
	for _, c := range (&app{}).root().Commands {
		if !strings.Contains(string(page), "`handover "+c.Name) {
			t.Errorf("README.md lacks the command %s", c.Name)
		}
	}
}

func TestTheMoreSpecialErrorDecides(t *testing.T) {
	for want, err := range map[int]error{
		exitResumed:      &service.Refusal{Outcome: "resumed", Code: wire.CodeDeadline},
		exitDeadline:     &service.Refusal{Outcome: "aborted", Code: wire.CodeDeadline},
		exitAborted:      &service.Refusal{Outcome: "aborted", Code: wire.CodeUnsupported},
		exitVerification: &service.Refusal{Outcome: "aborted", Code: wire.CodeVerification},
		exitDenied:       fmt.Errorf("reach service: %w", service.ErrDenied),
		exitUsage:        &service.AmbiguousError{Dir: "/run/handover", Names: []string{"a", "b"}},
		exitUnknown:      failure{service.ErrDenied, "", exitUnknown},
		exitError:        fmt.Errorf("upgrade: %w", context.Canceled),
	} {
		if code, _ := judge(fmt.Errorf("outer: %w", err)); code != want {
			t.Errorf("%v: exit code %d, want %d", err, code, want)
		}
	}
	for is, want := range map[error]int{
		control.ErrDenied: exitDenied, control.ErrRefused: exitVerification, control.ErrReturned: exitResumed, control.ErrResumed: exitResumed,
		control.ErrAborted: exitAborted, control.ErrDeadline: exitDeadline, control.ErrNoAgent: exitError, control.ErrBusy: exitError,
	} {
		if code, next := judge(fmt.Errorf("outer: %w", is)); code != want || next == "" {
			t.Errorf("%v: exit code %d, want %d, %q", is, code, want, next)
		}
	}
	if code, next := judge(&control.Error{Code: "denied", Message: "denied: no", Next: "ask Bob"}); code != exitDenied || next != "ask Bob" {
		t.Errorf("exit code %d, %q", code, next)
	}
	if _, next := judge(&control.Error{Code: "unknown-service", Next: "see GET /v1/services"}); strings.Contains(next, "/v1/") {
		t.Errorf("a route is given as advice: %q", next)
	}
	if code, next := judge(fmt.Errorf("run: %w", config.Faults{{File: "agent.yaml"}})); code != exitUsage || next == "" {
		t.Errorf("exit code %d, %q", code, next)
	}
	if code, next := judge(errors.New("unheard of")); code != exitError || next == "" {
		t.Errorf("exit code %d, %q", code, next)
	}
}
