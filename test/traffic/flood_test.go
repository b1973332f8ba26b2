//go:build linux

package traffic

import (
	"bytes"
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/handover-go/handover/handovertest"
	"github.com/handover-go/handover/test/internal/count"
	"github.com/handover-go/handover/test/internal/flood"
)

// floodRate is how many datagrams come in a second.
const floodRate = 50_000

// TestFloodOfDatagramsLosesNoneInTheSwitch: at fifty thousand a second, whatever the kernel did not drop for want of room was read, by
// one generation; each has read what came before the next one did, and nothing out of turn; and the kernel has dropped no more than
// in a run as long without upgrades.
//
// Sender and service have no race detector, which is too slow for this.
func TestFloodOfDatagramsLosesNoneInTheSwitch(t *testing.T) {
	upgrades := count.Of(40, 400)
	var took time.Duration
	dropped := startFlood(t).run(upgrades, func(f *floodRun) {
		began := time.Now()
		for range upgrades {
			f.Upgrade(1)
		}
		took = time.Since(began)
	})
	control := startFlood(t).run(0, func(f *floodRun) {
		select {
		case <-time.After(took): // as long, with nothing going on
		case <-t.Context().Done():
		}
	})
	if dropped > control {
		t.Errorf("the kernel has dropped %d datagrams during %d upgrades, and %d without", dropped, upgrades, control)
	}
}

// floodRun is a service that is flooded.
type floodRun struct {
	*handovertest.Running
	t       *testing.T
	program string
	udp     string
	reports string // directory
}

func startFlood(t *testing.T) *floodRun {
	t.Helper()
	f := &floodRun{t: t, program: handovertest.Build(t, "./flood", "-race=false"), reports: t.TempDir()}
	_, port, err := net.SplitHostPort(handovertest.FreeAddress(t))
	if err != nil {
		t.Fatal(err)
	}
	address := handovertest.FreeAddress(t)
	f.udp = net.JoinHostPort("127.0.0.1", port)
	f.Running = handovertest.Start(t, handovertest.Service{
		Path: f.program, Address: address, ReadyTimeout: time.Minute, StopTimeout: time.Minute,
		Env: []string{"ADDR=" + address, "UDP=" + f.udp, "REPORTS=" + f.reports, "HANDOVER_PROBATION=20ms"},
	})
	return f
}

// run floods the service while something happens, in which it has that many upgrades. It returns how many datagrams the kernel has
// dropped; all others were read.
func (f *floodRun) run(upgrades int, happens func(*floodRun)) (dropped int) {
	f.t.Helper()
	cmd := exec.CommandContext(f.t.Context(), f.program, "send", f.udp, strconv.Itoa(floodRate))
	input, err := cmd.StdinPipe()
	if err != nil {
		f.t.Fatal(err)
	}
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, os.Stderr
	if err := cmd.Start(); err != nil {
		f.t.Fatal(err)
	}
	happens(f)
	input.Close()
	if err := cmd.Wait(); err != nil {
		f.t.Fatal(err)
	}
	var sent flood.Sent
	if err := json.Unmarshal(output.Bytes(), &sent); err != nil {
		f.t.Fatalf("the sender says %q: %v", output.String(), err)
	}
	dropped = kernelDrops(f.t, f.udp)
	serves := f.PID()
	for _, p := range f.Family() {
		if p.PID != serves {
			f.AwaitExit(p.PID) // SIGTERM could end it before it has reported
		}
	}
	f.Stop()

	generations := f.reported()
	if len(generations) != upgrades+1 {
		f.t.Errorf("%d generations say what they have read; want %d", len(generations), upgrades+1)
	}
	last, read := -1, 0
	for _, g := range generations {
		if g.Dropped > dropped {
			f.t.Errorf("generation %d knows of %d dropped datagrams, the kernel of %d", g.Generation, g.Dropped, dropped)
		}
		for _, run := range g.Runs {
			if run[0] <= last {
				f.t.Errorf("generation %d has read datagrams %d to %d when %d was read already", g.Generation, run[0], run[1], last)
			}
			last, read = run[1], read+run[1]-run[0]+1
		}
	}
	if missing := sent.Datagrams - read; missing != dropped {
		f.t.Errorf("%d of %d datagrams were not read; the kernel has dropped %d", missing, sent.Datagrams, dropped)
	}
	f.t.Logf("%d upgrades: %d datagrams sent, %.0f a second, none later than %.0f ms; %d read by %d generations, %d dropped; SO_RCVBUF %d",
		upgrades, sent.Datagrams, sent.Rate, 1000*sent.Late, read, len(generations), dropped, generations[0].Buffer)
	if sent.Rate < 0.99*floodRate {
		f.t.Logf("this machine does not send %d a second: what is shown holds for %.0f", floodRate, sent.Rate)
	}
	return dropped
}

// reported returns what each generation says that it has read, in their order.
func (f *floodRun) reported() (all []flood.Read) {
	f.t.Helper()
	files, err := filepath.Glob(filepath.Join(f.reports, "*"))
	if err != nil {
		f.t.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.t.Fatal(err)
		}
		var read flood.Read
		if err := json.Unmarshal(text, &read); err != nil {
			f.t.Fatalf("%s: %v", file, err)
		}
		all = append(all, read)
	}
	slices.SortFunc(all, func(a, b flood.Read) int { return a.Generation - b.Generation })
	return all
}
