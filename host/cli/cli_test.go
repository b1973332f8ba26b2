package cli_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/handover-go/handover/host/audit"
	"github.com/handover-go/handover/host/cli"
	"github.com/handover-go/handover/host/internal/fake"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"handover": func() {
		os.Exit(cli.Run(context.Background(), os.Args, os.Stdin, os.Stdout, os.Stderr))
	}})
}

// Each file of testdata is the test of what its name says.
func TestCommandLine(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(e *testscript.Env) error {
			dir, err := fake.Dir(e.WorkDir)
			e.Setenv("HANDOVER_RUNTIME_DIR", dir)
			e.Setenv("GORACE", "atexit_sleep_ms=0") // else each process rests for a second after its end
			e.Setenv("HANDOVER_STATE_DIR", filepath.Join(e.WorkDir, "state"))
			agent := new(*fake.Agent)
			e.Values[agentKey{}] = agent
			e.Defer(func() {
				if *agent != nil {
					_ = (*agent).Close()
				}
			})
			return err
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"fake": startFake, "abandon": abandon, "exits": exits, "timeless": timeless, "audited": audited,
			"fakeagent": startAgent,
		},
	})
}

// startFake NAME SCRIPT has a fake service answer until the script ends.
func startFake(ts *testscript.TestScript, _ bool, args []string) {
	s, err := fake.Start(ts.Getenv("HANDOVER_RUNTIME_DIR"), args[0], args[1])
	ts.Check(err)
	ts.Defer(s.Close)
}

// fakeagent SCRIPT has a fake agent answer until the script ends; the one that answers already goes by SCRIPT from now on.
func startAgent(ts *testscript.TestScript, _ bool, args []string) {
	agent := ts.Value(agentKey{}).(**fake.Agent)
	var err error
	if *agent == nil {
		*agent, err = fake.StartAgent(ts.Getenv("HANDOVER_RUNTIME_DIR"), args[0])
	} else {
		err = (*agent).Become(args[0])
	}
	ts.Check(err)
}

type agentKey struct{}

// abandon NAME leaves a socket at which nobody answers.
func abandon(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(fake.Abandon(ts.Getenv("HANDOVER_RUNTIME_DIR"), args[0]))
}

// audited FILE N appends so many records to the log at FILE.
func audited(ts *testscript.TestScript, _ bool, args []string) {
	ts.Check(os.MkdirAll(filepath.Dir(ts.MkAbs(args[0])), 0o700))
	log, err := audit.Open(ts.MkAbs(args[0]), audit.Options{})
	ts.Check(err)
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	for i := range n {
		_, err := log.Append(audit.Record{
			At:      time.Date(2026, 11, 22, 10, 0, i, 0, time.UTC),
			Who:     audit.Who{Role: "viewer", Peer: &audit.Peer{UID: 1000, GID: 1000, PID: 4711}},
			What:    audit.What{Method: "POST", Route: "/v1/services/{name}/upgrade", Service: "shop", Args: map[string]string{"release": "1.2.\x1b[2J"}},
			Outcome: audit.Outcome{Status: 403, Code: "denied"},
		})
		ts.Check(err)
	}
	ts.Check(log.Close())
}

// exits CODE ARGS... runs handover, which must end with that code.
func exits(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec("handover", args[1:]...)
	if want == 0 {
		ts.Check(err)
		return
	}
	if err == nil || err.Error() != fmt.Sprintf("exit status %d", want) {
		ts.Fatalf("handover %s: %v, want exit status %d", strings.Join(args[1:], " "), err, want)
	}
}

var times = regexp.MustCompile(`(?m)^[0-9.]+(µs|ms|s) *`)

// timeless FILE replaces the time at the beginning of each line by a T.
func timeless(ts *testscript.TestScript, _ bool, args []string) {
	text := times.ReplaceAllString(ts.ReadFile(args[0]), "T  ")
	ts.Check(os.WriteFile(ts.MkAbs("timeless"), []byte(text), 0o600))
}

func TestStatusWatchTellsEachChangeUntilItIsInterrupted(t *testing.T) {
	dir, err := fake.Dir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	s, err := fake.Start(dir, "shop", "changing")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for format, line := range map[string]string{
		"table": `(?m)^\d\d:\d\d:\d\d  shop  serving     generation 3 pid 4204101, 31\d connections, 1 draining$`,
		"json":  `(?m)^{"service":"shop","active":true,"state":"serving".*"connections":31\d.*}$`,
	} {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		out := &until{lines: 3, reached: cancel}
		var errs bytes.Buffer
		args := []string{"handover", "--runtime-dir", dir, "status", "--watch", "--interval", "10ms", "-o", format}
		if code := cli.Run(ctx, args, nil, out, &errs); code != 0 || errs.Len() > 0 {
			t.Fatalf("exit %d: %s", code, errs.String())
		}
		if n := len(regexp.MustCompile(line).FindAllString(out.text.String(), -1)); n != 3 {
			t.Errorf("%d lines of\n%s", n, out.text.String())
		}
	}
}

func TestStatusWatchEndsWhenTheServiceCannotBeUnderstood(t *testing.T) {
	dir, err := fake.Dir(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	s, err := fake.Start(dir, "shop", "garbage")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var out, errs bytes.Buffer
	args := []string{"handover", "--runtime-dir", dir, "status", "shop", "--watch", "--interval", "10ms"}
	if code := cli.Run(t.Context(), args, nil, &out, &errs); code != 4 || !strings.Contains(errs.String(), "no answer came") {
		t.Errorf("exit %d: %s%s", code, out.String(), errs.String())
	}
}

// until calls reached when so many lines were written.
type until struct {
	text    bytes.Buffer
	lines   int
	reached func()
}

func (u *until) Write(p []byte) (int, error) {
	n, err := u.text.Write(p)
	if bytes.Count(u.text.Bytes(), []byte("\n")) >= u.lines {
		u.reached()
	}
	return n, err
}
