package docs

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/handover-go/handover/handovertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const repository = "../.."

// patience bounds all the commands of one document.
const patience = 3 * time.Minute

// pages are the documents whose commands are run.
var pages = []string{"README.md", "docs/operations.md"}

// Of the repository's own targets and tests it is only seen that they are there: they are run by themselves.
const prelude = `
make() { command make --no-print-directory --dry-run --directory "$REPOSITORY" "$@" >/dev/null; }
go() {
	if [[ $1 == test ]]; then
		command go -C "$REPOSITORY" list "${@: -1}" >/dev/null
	else
		command go -C "$REPOSITORY" "$@"
	fi
}
`

// The documents speak of a service that was built, ./shop, and of its next build, build/shop.
func TestCommandsOfTheDocumentsWork(t *testing.T) {
	for _, page := range pages {
		t.Run(page, func(t *testing.T) {
			blocks, err := Commands(filepath.Join(repository, page), "")
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			put(t, handovertest.Build(t, "github.com/handover-go/handover/host/cmd/handover"), filepath.Join(dir, "bin/handover"))
			put(t, example(t, "v1"), filepath.Join(dir, "shop"))
			put(t, example(t, "v2"), filepath.Join(dir, "build/shop"))
			root, err := filepath.Abs(repository)
			if err != nil {
				t.Fatal(err)
			}
			bash(t, dir, prelude+Script(page, blocks),
				"PATH="+filepath.Join(dir, "bin")+":"+os.Getenv("PATH"), "REPOSITORY="+root, "GOBIN="+filepath.Join(dir, "gobin"), "ADDR="+handovertest.FreeAddress(t),
				"HANDOVER_RUNTIME_DIR="+filepath.Join(dir, "run"), "XDG_STATE_HOME="+filepath.Join(dir, "state"), "HANDOVER_PROBATION=300ms",
				"GORACE=atexit_sleep_ms=0",
			)
		})
	}
}

func example(t *testing.T, build string) string {
	t.Helper()
	return handovertest.Build(t, "github.com/handover-go/handover/examples/http", "-ldflags=-X main.build="+build)
}

func put(t *testing.T, from, to string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

// bash runs the script, which has to succeed and to leave no process behind.
func bash(t *testing.T, dir, script string, env ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-c", script)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second // for services that outlive a script that failed
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	err := cmd.Run()
	if left := living(t, cmd.Process.Pid); len(left) > 0 {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		t.Errorf("processes are left behind: %q", left)
	}
	if err != nil || t.Failed() {
		logged, _ := os.ReadFile(filepath.Join(dir, "shop.log"))
		t.Errorf("%v\n%s\nshop.log:\n%s", err, &said, logged)
	}
}

// living are the processes of a group that have not ended; those that nobody has waited for have.
func living(t *testing.T, group int) (all []string) {
	t.Helper()
	paths, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		stat, err := os.ReadFile(path)
		if err != nil {
			continue // it has gone meanwhile
		}
		// proc_pid_stat(5): state, parent and group follow the name, which may have any character in it.
		f := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		if f[0] != "Z" && f[0] != "X" && f[2] == strconv.Itoa(group) {
			all = append(all, string(stat))
		}
	}
	return all
}

// What a block needs is known to a suite that runs it.
func TestEveryCommandOfTheDocumentsHasASuite(t *testing.T) {
	suites := map[string]bool{"": true, "systemd": true, "docker": true, "package": true}
	for _, page := range pages {
		blocks, err := Read(filepath.Join(repository, page))
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range blocks {
			if b.Language == "sh" && !suites[b.Needs] {
				t.Errorf("%s:%d: no suite runs commands that need %q", page, b.Line, b.Needs)
			}
			if b.Language == "bash" || b.Language == "shell" || b.Language == "console" {
				t.Errorf("%s:%d: commands in a block of %s, which nothing runs: call it sh", page, b.Line, b.Language)
			}
		}
	}
}

var tableOfCodes = regexp.MustCompile(`(?m)^\| (\d+) \| (.*) \|$`)

func TestExitCodesInTheDocumentsAreThoseOfHelp(t *testing.T) {
	help, err := exec.Command(handovertest.Build(t, "github.com/handover-go/handover/host/cmd/handover"), "--help").Output()
	if err != nil {
		t.Fatal(err)
	}
	said := regexp.MustCompile(`(?m)^ +(\d+) +(.*)$`).FindAllStringSubmatch(string(help), -1)
	text, err := os.ReadFile(filepath.Join(repository, "docs/operations.md"))
	if err != nil {
		t.Fatal(err)
	}
	written := tableOfCodes.FindAllStringSubmatch(string(text), -1)
	if len(said) == 0 || len(written) != len(said) {
		t.Fatalf("help names %d exit codes, the document %d", len(said), len(written))
	}
	for i := range said {
		if said[i][1] != written[i][1] || said[i][2] != written[i][2] {
			t.Errorf("help says %q, the document %q", said[i][1:], written[i][1:])
		}
	}
}

var tableOfMessages = regexp.MustCompile("(?m)^\\| `([^`]+)` \\| (?:the|a) ")

func TestMessagesInTheDocumentsAreLogged(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(repository, "docs/operations.md"))
	if err != nil {
		t.Fatal(err)
	}
	var source strings.Builder
	for _, pattern := range []string{"*.go", "keeper/*.go"} {
		files, err := filepath.Glob(filepath.Join(repository, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			if strings.HasSuffix(f, "_test.go") {
				continue
			}
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			source.Write(b)
		}
	}
	messages := tableOfMessages.FindAllStringSubmatch(string(text), -1)
	if len(messages) < 10 {
		t.Fatalf("only %d messages", len(messages))
	}
	for _, m := range messages {
		if !strings.Contains(source.String(), `"`+m[1]) {
			t.Errorf("nothing logs %q", m[1])
		}
	}
}
