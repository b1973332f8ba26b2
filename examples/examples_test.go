package examples_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/handover-go/handover/handovertest"
)

func TestDropInLosesNothing(t *testing.T) { replacedTwice(t, "./dropin", 0) }

func TestHTTPLosesNothing(t *testing.T) { replacedTwice(t, "./http", 3) }

func TestGinLosesNothing(t *testing.T) { replacedTwice(t, "./gin", 3) }

// replacedTwice drives an example while it is replaced twice, and wants answers from as many generations; zero: the
// example does not say.
func replacedTwice(t *testing.T, example string, generations int) {
	service := start(t, example)
	load := drive(t, service)
	service.Upgrade(2)
	r := finish(t, load, service)
	handovertest.AssertNothingLost(t, r)
	if len(r.ByPID) != 3 {
		t.Errorf("answers by %d processes, want 3: %v", len(r.ByPID), r)
	}
	for g := range generations {
		if r.ByGeneration[g+1] == 0 {
			t.Errorf("no answer by generation %d: %v", g+1, r)
		}
	}
}

// start builds an example and starts it, with a short probation.
func start(t *testing.T, example string, env ...string) *handovertest.Running {
	t.Helper()
	address := handovertest.FreeAddress(t)
	return startWho(t, example, address, func(ctx context.Context) (int, error) { return who(ctx, address) }, env...)
}

// startWho is start for an example that is asked in its own way who answers.
func startWho(t *testing.T, example, address string, who func(context.Context) (int, error), env ...string) *handovertest.Running {
	t.Helper()
	return handovertest.Start(t, handovertest.Service{
		Path: handovertest.Build(t, example, "-ldflags=-X main.build=v1"),
		Env: append(env, "ADDR="+address, "HANDOVER_PROBATION=200ms",
			"GORACE=atexit_sleep_ms=0"), // else each process takes a second to leave
		Address: address, Who: who,
	})
}

// drive has clients of some kinds ask for the example's only page.
func drive(t *testing.T, service *handovertest.Running) *handovertest.Driver {
	t.Helper()
	l := service.Load()
	l.Clients = handovertest.Clients{KeepAlive: 4, New: 2, Pipelined: 1, Dribble: 1, Silent: 1, Idle: 1}
	l.Quiet = [2]time.Duration{200 * time.Millisecond, time.Second}
	l.CountPoliteCloses = true
	l.Request = func(string) (*http.Request, error) {
		return http.NewRequest(http.MethodGet, "http://"+l.Address+"/", nil)
	}
	l.Verify = func(id string, resp *http.Response, body []byte) (handovertest.Answer, error) {
		answer, err := parse(resp, body)
		answer.ID = id
		return answer, err
	}
	load, err := handovertest.Drive(t.Context(), l)
	if err != nil {
		t.Fatal(err)
	}
	return load
}

// finish lets the last generation work before it ends the load.
func finish(t *testing.T, load *handovertest.Driver, service *handovertest.Running) handovertest.Report {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := errors.Join(load.WaitPID(ctx, service.PID()), load.WaitAnswers(ctx, 50)); err != nil {
		t.Error(err)
	}
	return load.Stop()
}

// who asks on a new connection.
func who(ctx context.Context, address string) (int, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/", nil)
	if err != nil {
		return 0, err
	}
	resp, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(request)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err
	}
	answer, err := parse(resp, body)
	return answer.PID, err
}

// parse reads an example's answer: words and their values by turns.
func parse(resp *http.Response, body []byte) (a handovertest.Answer, err error) {
	words := strings.Fields(string(body))
	for i := 0; i+1 < len(words); i += 2 {
		switch words[i] {
		case "build":
			if words[i+1] != "v1" {
				err = fmt.Errorf("build %s, want v1", words[i+1])
			}
		case "generation":
			a.Generation, err = strconv.Atoi(words[i+1])
		case "pid":
			a.PID, err = strconv.Atoi(words[i+1])
		}
		if err != nil {
			return a, err
		}
	}
	if resp.StatusCode != http.StatusOK || a.PID == 0 {
		return a, fmt.Errorf("answer %s: %q", resp.Status, body)
	}
	return a, nil
}
