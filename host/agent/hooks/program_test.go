//go:build unix

package hooks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/handover-go/handover/host/agent/config"
)

var before = Event{Phase: config.Before, Service: "shop", Number: 12, Kind: "upgrade", To: "1.2.0-abc", By: "uid:0", State: "asking", At: time.Unix(1700000000, 0).UTC()}

func shell(script string, veto bool, failure string) config.Hook {
	return config.Hook{Name: "asks", On: []string{config.Before}, Exec: []string{"/bin/sh", "-c", script}, Timeout: 10 * time.Second, Veto: veto, Failure: failure}
}

func one(t *testing.T, r Runner, h config.Hook, e Event) Result {
	t.Helper()
	results := r.Run(t.Context(), []config.Hook{h}, e)
	if len(results) != 1 {
		t.Fatalf("%d results", len(results))
	}
	return results[0]
}

func TestProgramIsToldInJSONAndVariablesAndNotWhatIsPrivate(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "/run/systemd/notify")
	t.Setenv("HANDOVER_LINK", "3")
	t.Setenv("REGION", "north")
	e := before
	e.Reason = "two\x00words"
	r := one(t, Runner{}, shell(`cat; echo; echo "$REGION"; env | grep -E 'HANDOVER|NOTIFY' | sort; pwd`, false, ""), e)
	body, variables, _ := strings.Cut(r.Detail, "\n")
	var got Event
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatalf("%v: %q", err, r.Detail)
	}
	if got.Key != "shop/12/before" || got.Upgrade != "shop/12" || got.To != e.To || !got.At.Equal(e.At) || got.Reason != e.Reason {
		t.Errorf("told %+v", got)
	}
	const want = `north
HANDOVER_HOOK_BY=uid:0
HANDOVER_HOOK_FROM=
HANDOVER_HOOK_KEY=shop/12/before
HANDOVER_HOOK_KIND=upgrade
HANDOVER_HOOK_NUMBER=12
HANDOVER_HOOK_PHASE=before
HANDOVER_HOOK_REASON=twowords
HANDOVER_HOOK_SERVICE=shop
HANDOVER_HOOK_STATE=asking
HANDOVER_HOOK_TO=1.2.0-abc
HANDOVER_HOOK_UPGRADE=shop/12
/`
	if r.Outcome != Done || r.Attempts != 1 || variables != want {
		t.Errorf("%+v\ngot\n%s\nwant\n%s", r, variables, want)
	}
}

func TestExitOfAProgramVetoesIfItMay(t *testing.T) {
	const script = `echo the calendar says no; exit 3`
	if r := one(t, Runner{}, shell(script, true, config.FailureIgnored), before); r.Outcome != Vetoed || r.Detail != "exit status 3: the calendar says no" {
		t.Errorf("with veto: %+v", r)
	}
	if r := one(t, Runner{}, shell(script, false, ""), before); r.Outcome != Failed {
		t.Errorf("without: %+v", r)
	}
}

func TestProgramThatCannotSayIsWhatItsFailureMeans(t *testing.T) {
	killed, missing, slow := shell(`kill -9 $$`, true, ""), shell("", true, ""), shell(`exec sleep 100`, true, "")
	missing.Exec = []string{"/nonexistent/hook"}
	slow.Timeout = 50 * time.Millisecond
	for what, h := range map[string]config.Hook{"signal: killed": killed, "no such file": missing, "took longer than 50ms": slow} {
		for failure, want := range map[string]Outcome{config.FailureIgnored: Failed, config.FailureVetoes: Vetoed, "": Vetoed} {
			h.Failure = failure
			if r := one(t, Runner{}, h, before); r.Outcome != want || !strings.Contains(r.Detail, what) {
				t.Errorf("%s, failure %q: %+v", what, failure, r)
			}
		}
	}
}

func TestProgramThatTakesTooLongIsKilledWithAllItStarted(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "alive")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	h := shell(fmt.Sprintf(`sleep 100 >%s & echo waits; wait`, fifo), false, "")
	h.Timeout = 2 * time.Second
	done, opened := make(chan Result, 1), make(chan struct{})
	go func() {
		done <- Runner{}.Run(context.Background(), []config.Hook{h}, before)[0]
		if w, err := os.OpenFile(fifo, os.O_RDWR, 0); err == nil { // if nobody has opened it until now, nobody will
			<-opened
			_ = w.Close()
		}
	}()
	// Opened when the one that was started has opened it too; at its end when that one is dead.
	f, err := os.Open(fifo)
	close(opened)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(f); err != nil {
		t.Errorf("still alive: %v", err)
	}
	if r := <-done; r.Outcome != Failed || r.Detail != "took longer than 2s, and was killed: waits" {
		t.Errorf("got %+v", r)
	}
}

func TestProgramThatLeavesSomethingBehindIsNotWaitedFor(t *testing.T) {
	r := one(t, Runner{}, shell(`sleep 100 & echo $!`, true, ""), before)
	pid, err := strconv.Atoi(r.Detail)
	if err != nil {
		t.Fatalf("%+v: %v", r, err)
	}
	defer func() { _ = unix.Kill(pid, unix.SIGKILL) }()
	if r.Outcome != Done || r.Took > 8*time.Second {
		t.Errorf("got %+v", r)
	}
	if err := unix.Kill(pid, 0); err != nil {
		t.Errorf("what it left was killed: %v", err)
	}
}

func TestLastOfWhatAProgramPrintsIsKept(t *testing.T) {
	r := one(t, Runner{}, shell(`i=0; while [ $i -lt 2000 ]; do echo line $i; i=$((i+1)); done`, false, ""), before)
	if len(r.Detail) > maxDetail+8 || !strings.HasPrefix(r.Detail, "… ") || !strings.HasSuffix(r.Detail, "line 1998\nline 1999") {
		t.Errorf("%d bytes: %.20q…%q", len(r.Detail), r.Detail, r.Detail[len(r.Detail)-20:])
	}
}

func TestFirstVetoEndsThePhase(t *testing.T) {
	yes, no, later := shell("true", true, ""), shell("false", true, ""), shell("echo was run", true, "")
	other := shell("false", true, "")
	other.On = []string{config.Kept}
	results := Runner{}.Run(t.Context(), []config.Hook{other, yes, no, later}, before)
	if len(results) != 2 || results[0].Outcome != Done || results[1].Outcome != Vetoed {
		t.Errorf("got %+v", results)
	}
	if r, vetoed := Veto(results); !vetoed || r != results[1] {
		t.Errorf("veto: %t, %+v", vetoed, r)
	}
	if _, vetoed := Veto(results[:1]); vetoed {
		t.Error("one that agreed vetoed")
	}
}

func TestHooksFailWhenTheAgentEnds(t *testing.T) {
	gone := errors.New("the agent ends")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(gone)
	web := config.Hook{Name: "web", On: []string{config.Before}, URL: "http://127.0.0.1:1/", Timeout: time.Minute}
	for _, h := range []config.Hook{shell("true", false, ""), web} {
		if r := (Runner{}).Run(ctx, []config.Hook{h}, before)[0]; r.Outcome != Failed || !strings.Contains(r.Detail, gone.Error()) {
			t.Errorf("got %+v", r)
		}
	}
}
