//go:build debian

package zoo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/handover-go/handover/handovertest"
	"github.com/handover-go/handover/test/internal/control"
	"github.com/handover-go/handover/test/internal/rig"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds a test, and soon each single thing that is waited for in it.
const (
	patience = 10 * time.Minute
	soon     = 30 * time.Second
)

// Messages of the library that tests wait for.
const (
	proving   = "serving on probation"
	succeeded = "serving: the handover is final"
)

// cage is a zoo under test, and its keeper.
type cage struct {
	*rig.Run
	t   *testing.T
	ctx context.Context
	end context.CancelFunc // kills every client
	cli string
	dir string // of the takeover socket

	http, https, grpc, tcp, udp string // addresses
	unix                        string // a path
	control                     string // address of a zoo with datagrams alone, which nobody upgrades
}

// start runs a kept zoo, with flags for the keeper, and the control.
func start(t *testing.T, flags ...string) *cage {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	zoo := built(t, "github.com/handover-go/handover/examples/zoo")
	z := &cage{Run: rig.New(t, rig.Patience{Test: patience, Line: soon}), t: t, ctx: ctx, end: cancel, cli: built(t, "github.com/handover-go/handover/host/cmd/handover")}
	for _, address := range []*string{&z.http, &z.https, &z.grpc, &z.tcp, &z.udp, &z.control} {
		*address = handovertest.FreeAddress(t)
	}
	dir := control.Dir(t)
	z.dir, z.unix = filepath.Join(dir, "run"), filepath.Join(dir, "lines")
	alone := handovertest.FreeAddress(t)
	handovertest.Start(t, handovertest.Service{
		Path: zoo, Args: []string{"-http", alone, "-udp", z.control}, Address: alone,
		Who: func(ctx context.Context) (int, error) { return inhabitant(ctx, alone) },
	})
	args := append([]string{"run", "--name", "zoo", "--state-dir", filepath.Join(dir, "state"), "--drain-timeout", "1m"}, flags...)
	z.Start(handovertest.Service{
		Path: z.cli, Address: z.http, Env: []string{"HANDOVER_RUNTIME_DIR=" + z.dir},
		Args:        append(args, "--", zoo, "-http", z.http, "-https", z.https, "-grpc", z.grpc, "-tcp", z.tcp, "-udp", z.udp, "-unix", z.unix),
		Who:         func(ctx context.Context) (int, error) { return inhabitant(ctx, z.http) },
		StopTimeout: time.Minute,
	})
	return z
}

// built is a program as its users build it.
func built(t *testing.T, pkg string, flags ...string) string {
	t.Helper()
	return handovertest.Build(t, pkg, append([]string{"-race=false"}, flags...)...)
}

// outcome is what "handover upgrade" says.
type outcome struct {
	Outcome    string
	Generation int
	PID        int
	Lost       int
	Error      string
	code       int
}

// upgrade runs "handover upgrade zoo" to its end.
func (z *cage) upgrade(ctx context.Context, flags ...string) (o outcome, err error) {
	cmd := exec.CommandContext(ctx, z.cli, append([]string{"upgrade", "zoo", "--output", "json"}, flags...)...)
	cmd.Env = append(os.Environ(), "HANDOVER_RUNTIME_DIR="+z.dir)
	var complaint strings.Builder
	cmd.Stderr = &complaint
	said, err := cmd.Output()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return o, fmt.Errorf("handover upgrade: %w", err)
	}
	if err := json.Unmarshal(said, &o); err != nil {
		return o, fmt.Errorf("handover upgrade: exit %d, %w\n%s%s", cmd.ProcessState.ExitCode(), err, said, &complaint)
	}
	o.code = cmd.ProcessState.ExitCode()
	return o, nil
}

// alone waits until the generation that serves is alone with its keeper.
func (z *cage) alone() {
	z.t.Helper()
	z.Eventually("a keeper and one generation", func() (any, bool) {
		family := z.Family()
		return family, len(family) == 2
	})
}

// answer is what the zoo says of who answers.
type answer struct{ Generation, PID int }

// inhabitant asks, on a connection of its own, which process answers.
func inhabitant(ctx context.Context, address string) (int, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/", nil)
	if err != nil {
		return 0, err
	}
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(request)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	var a answer
	if err := json.NewDecoder(resp.Body).Decode(&a); err != nil {
		return 0, err
	}
	if a.PID < 1 || a.Generation < 1 {
		return 0, fmt.Errorf("answer %+v", a)
	}
	return a.PID, nil
}
