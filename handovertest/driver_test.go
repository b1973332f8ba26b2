package handovertest_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/handover-go/handover/handovertest"
)

func TestPoliteServiceLosesNothingWhoeverAsks(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		t.Run(network, func(t *testing.T) {
			t.Parallel()
			server := newServer(t, network, handovertest.HandlerFor(func() int { return 7 }))
			driver, err := handovertest.Drive(t.Context(), handovertest.Load{
				Network: network, Address: server.address,
				Span:  [2]time.Duration{50 * time.Millisecond, 100 * time.Millisecond},
				Quiet: [2]time.Duration{100 * time.Millisecond, 200 * time.Millisecond},
			})
			if err != nil {
				t.Fatal(err)
			}
			if err := driver.WaitAnswers(t.Context(), 500); err != nil {
				t.Fatal(err)
			}
			report := driver.Stop()
			handovertest.AssertNothingLost(t, report)
			if report.ClosedPolite != 0 || report.Requests != report.OK || report.ByGeneration[7] != report.OK {
				t.Errorf("want only good answers of generation 7: %s", report)
			}
			if report.Latency.Count == 0 || report.LongestGap == 0 {
				t.Errorf("nothing was measured: %s", report)
			}
		})
	}
}

func TestPoliteCloseCountsAsClosedWhenAsked(t *testing.T) {
	server := newServer(t, "tcp", handovertest.Handler())
	server.SetKeepAlivesEnabled(false)
	driver, err := handovertest.Drive(t.Context(), handovertest.Load{
		Address: server.address, Clients: handovertest.Clients{KeepAlive: 1}, CountPoliteCloses: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	if r := driver.Stop(); r.Closed == 0 || r.ClosedPolite != 0 {
		t.Errorf("want closed: %s", r)
	}
}

func TestServerShutDownUnderLoadIsSeenToCloseConnections(t *testing.T) {
	server := newServer(t, "tcp", handovertest.Handler())
	driver, err := handovertest.Drive(t.Context(), handovertest.Load{Address: server.address, Clients: handovertest.Clients{Idle: 5}})
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r := driver.Stop(); r.Closed != 5 || r.Failed != 0 || r.LostByKind["Idle"][handovertest.Closed] != 5 {
		t.Errorf("want 5 closed, of idle clients: %s", r)
	}
}

func TestOpenLoopCountsLatencyFromTheIntendedBegin(t *testing.T) {
	const stall = 300 * time.Millisecond
	var asked atomic.Int32
	server := newServer(t, "tcp", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1) == 2 {
			<-time.After(stall)
		}
		handovertest.Handler().ServeHTTP(w, r)
	}))
	var told atomic.Int32
	driver, err := handovertest.Drive(t.Context(), handovertest.Load{
		Address: server.address, Clients: handovertest.Clients{KeepAlive: 1}, Pace: 100,
		OnAnswer: func(kind string, begun time.Time, took time.Duration) {
			if told.Add(1); kind != "KeepAlive" || took <= 0 || time.Since(begun) < took {
				t.Errorf("told of %s, begun %v, took %v", kind, begun, took)
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := driver.WaitAnswers(t.Context(), 30); err != nil {
		t.Fatal(err)
	}
	// Thirty turns were due within the stall; a closed loop would see one.
	r := driver.Stop()
	if r.Latency.P50 < stall/10 {
		t.Errorf("the stall is not in the latency of what was due meanwhile: %+v", r.Latency)
	}
	if int(told.Load()) != r.Latency.Count {
		t.Errorf("told of %d latencies, %d were counted", told.Load(), r.Latency.Count)
	}
}

func TestOwnRequestsAreVerifiedByTheirOwner(t *testing.T) {
	server := newServer(t, "tcp", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "got %s", body)
	}))
	var bad atomic.Bool
	load := handovertest.Load{
		Address: server.address,
		Quiet:   [2]time.Duration{time.Millisecond, 20 * time.Millisecond},
		Request: func(id string) (*http.Request, error) {
			return http.NewRequest("PUT", "http://shop/orders", strings.NewReader(id))
		},
		Verify: func(id string, resp *http.Response, body []byte) (handovertest.Answer, error) {
			if bad.Load() || string(body) != "got "+id {
				return handovertest.Answer{}, fmt.Errorf("body %q", body)
			}
			return handovertest.Answer{PID: 4711}, nil
		},
	}
	driver, err := handovertest.Drive(t.Context(), load)
	if err != nil {
		t.Fatal(err)
	}
	if err := driver.WaitPID(t.Context(), 4711); err != nil {
		t.Fatal(err)
	}
	handovertest.AssertNothingLost(t, driver.Snapshot())
	bad.Store(true)
	awaitLoss(t, driver)
	if r := driver.Stop(); r.Wrong == 0 || r.Wrong != r.Lost() {
		t.Errorf("want wrong answers: %s", r)
	}

	load.Clients = handovertest.Clients{Upload: 1}
	if _, err := handovertest.Drive(t.Context(), load); err == nil {
		t.Error("Upload was driven with a request of its owner")
	}
}

func TestRequestThatCannotBeBuiltIsNotBlamedOnTheService(t *testing.T) {
	server := newServer(t, "tcp", handovertest.Handler())
	for _, clients := range []handovertest.Clients{{KeepAlive: 1}, {Pipelined: 1}, {Dribble: 1}} {
		_, err := handovertest.Drive(t.Context(), handovertest.Load{
			Address: server.address, Clients: clients,
			Request: func(string) (*http.Request, error) { return nil, errors.New("out of paper") },
		})
		var start *handovertest.StartError
		if !errors.As(err, &start) || start.Report.OwnFaults == 0 || start.Report.Lost() != 0 {
			t.Errorf("error %v, want own faults alone", err)
		}
	}
}

func TestLoadThatMakesNoSenseIsRefused(t *testing.T) {
	for name, load := range map[string]handovertest.Load{
		"no address":      {},
		"unknown network": {Network: "udp", Address: "127.0.0.1:1"},
		"negative count":  {Address: "127.0.0.1:1", Clients: handovertest.Clients{New: -1}},
		"reversed range":  {Address: "127.0.0.1:1", Think: [2]time.Duration{2, 1}},
		"negative span":   {Address: "127.0.0.1:1", Span: [2]time.Duration{-1, 1}},
		"negative pace":   {Address: "127.0.0.1:1", Pace: -1},
	} {
		_, err := handovertest.Drive(t.Context(), load)
		var start *handovertest.StartError
		if err == nil || errors.As(err, &start) {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

// server is a plain http.Server.
type server struct {
	*http.Server
	address string
	close   func()
}

func newServer(t *testing.T, network string, handler http.Handler) *server {
	t.Helper()
	address := "127.0.0.1:0"
	if network == "unix" {
		address = filepath.Join(t.TempDir(), "s")
	}
	ln, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: handler}
	done := make(chan struct{})
	go func() {
		defer close(done)
		srv.Serve(ln)
	}()
	stop := func() {
		srv.Close()
		<-done
	}
	t.Cleanup(stop)
	return &server{srv, ln.Addr().String(), stop}
}
