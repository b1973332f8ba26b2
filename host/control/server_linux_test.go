package control

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/handover-go/handover/host/audit"
	"github.com/handover-go/handover/internal/leaktest"
)

// serveTCP serves at an address too, and returns it.
func (r *rig) serveTCP() string {
	r.t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(r.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.server.Serve(ctx, ln) }()
	r.t.Cleanup(func() {
		cancel()
		must(r.t, <-ended)
	})
	return "https://" + ln.Addr().String()
}

func TestNothingIsServedOverTCPWithoutTLS(t *testing.T) {
	r := serve(t, Config{})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	if err := r.server.Serve(t.Context(), ln); err == nil || !strings.Contains(err.Error(), "Config.TLS") {
		t.Error(err)
	}
}

func TestUpgradeGoesOnWhenItsClientLeaves(t *testing.T) {
	r := serve(t, Config{})
	ctx, leave := context.WithCancel(t.Context())
	gone := make(chan error)
	go func() {
		_, err := r.client().Upgrade(ctx, "shop", UpgradeRequest{Wait: true})
		gone <- err
	}()
	r.until(func() bool { return len(r.records()) == 2 }) // before it is over
	leave()
	if err := <-gone; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	go func() {
		r.agent.step("proving", false)
		r.agent.step("kept", true)
	}()
	if u, err := r.client().Await(t.Context(), "shop", 12, nil); err != nil || u.State != "kept" {
		t.Errorf("%+v, %v", u, err)
	}
	r.recorded("admin upgrade shop 0", "admin upgrade shop 202  shop/12")
}

// What takes long is not given up either.
func TestActionGoesOnWhenItsClientLeaves(t *testing.T) {
	r := serve(t, Config{})
	r.agent.enter, r.agent.leave = make(chan struct{}), make(chan struct{})
	ctx, leave := context.WithCancel(t.Context())
	go func() {
		<-r.agent.enter
		leave()
	}()
	if _, err := r.client().Stop(ctx, "shop"); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	close(r.agent.leave)
	r.until(func() bool { return len(r.records()) == 2 })
	r.recorded("admin stop shop 0", "admin stop shop 200")
}

// TestActionThatOutlivesTheAgentIsRecorded before anything is done, as the agent may be killed or replaced meanwhile; the next one tells that its
// outcome is missing. Guard: handler, which records before it serves.
func TestActionThatOutlivesTheAgentIsRecorded(t *testing.T) {
	r := serve(t, Config{})
	r.agent.enter, r.agent.leave = make(chan struct{}), make(chan struct{})
	c, stopped := r.client(), make(chan error, 1)
	go func() {
		_, err := c.Stop(t.Context(), "shop")
		stopped <- err
	}()
	<-r.agent.enter
	r.recorded("admin stop shop 0")
	must(t, r.log.Close())
	next, err := audit.Open(r.log.Path(), audit.Options{})
	must(t, err)
	defer next.Close()
	close(r.agent.leave)
	must(t, <-stopped)
	r.recorded("admin stop shop 0", "log audit.log  0")
	// What comes when the log is closed is not done at all.
	r.agent.enter = nil
	if _, err := c.Stop(t.Context(), "shop"); !errors.Is(err, ErrUnavailable) || len(r.agent.asked) != 1 {
		t.Errorf("%v; asked: %q", err, r.agent.asked)
	}
}

func TestActionHasADeadline(t *testing.T) {
	r := serve(t, Config{ActionTimeout: 20 * time.Millisecond})
	r.agent.enter, r.agent.leave = make(chan struct{}), make(chan struct{})
	if _, err := r.client().Stop(t.Context(), "shop"); !errors.Is(err, ErrDeadline) {
		t.Error(err)
	}
	r.recorded("admin stop shop 0", "admin stop shop 504 deadline")
	if all, err := audit.Read(r.log.Path(), audit.Query{}); err != nil || all[0].Of != 0 || all[1].Of != all[0].Seq {
		t.Errorf("%+v, %v", all, err)
	}
}

func TestWaitIsAnsweredWhenTheUpgradeIsOver(t *testing.T) {
	for state, want := range map[string]error{"kept": nil, "aborted": ErrAborted, "resumed": ErrResumed, "returned": ErrReturned, "failed": ErrFailed} {
		r := serve(t, Config{})
		go func() {
			r.until(func() bool { return len(r.records()) == 2 })
			r.agent.step("proving", false)
			r.agent.step(state, true)
		}()
		u, err := r.client().Rollback(t.Context(), "shop", RollbackRequest{Wait: true})
		if !errors.Is(err, want) || want == nil && (u.State != "kept" || len(u.Steps) != 3) {
			t.Errorf("%s: %+v, %v", state, u, err)
		}
		var e *Error
		told := errors.As(err, &e) && e.Upgrade != nil && e.Upgrade.State == state
		if want != nil && (!told || !strings.Contains(e.Message, "shop/12: ") || !strings.Contains(e.Message, "the reason")) {
			t.Errorf("%s: %#v", state, err)
		}
	}
}

func TestAwaitTellsEachStepAndOutlivesARestartOfTheAgent(t *testing.T) {
	r := serve(t, Config{})
	c := r.client()
	_, err := c.Upgrade(t.Context(), "shop", UpgradeRequest{})
	must(t, err)
	var states []string
	var restart sync.WaitGroup
	u, err := c.Await(t.Context(), "shop", 12, func(u Upgrade) {
		switch states = append(states, u.State); u.State {
		case "planned":
			r.agent.step("proving", false)
		case "proving":
			restart.Go(func() {
				r.end()
				r.agent.step("baking", false)
				r.start()
			})
		case "baking":
			r.agent.step("returned", true)
		}
	})
	restart.Wait()
	if !errors.Is(err, ErrReturned) || u.Number != 12 || strings.Join(states, " ") != "planned proving baking returned" {
		t.Errorf("%q, %+v, %v", states, u, err)
	}
}

func TestLongPollIsAnsweredWithHowItStands(t *testing.T) {
	r := serve(t, Config{})
	c := r.client()
	_, err := c.Upgrade(t.Context(), "shop", UpgradeRequest{})
	must(t, err)
	u, err := ask[Upgrade](t.Context(), c, "GET", "/v1/upgrades/shop/12?wait=20ms&steps=1", nil)
	if err != nil || u.State != "planned" {
		t.Errorf("%+v, %v", u, err)
	}
}

func TestEventsComeOnceAndInOrder(t *testing.T) {
	r := serve(t, Config{Heartbeat: 5 * time.Millisecond})
	c := r.client()
	r.feed.Publish(Event{Kind: "step", Service: "shop", Detail: "0"})
	last, n := r.feed.last(), 0
	for part := range 3 { // each connects anew, with the last ID
		var wait sync.WaitGroup
		wait.Go(func() {
			for i := range 10 {
				r.feed.Publish(Event{Kind: "step", Service: "chat"})
				r.feed.Publish(Event{Kind: "step", Service: "shop", Detail: fmt.Sprint(10*part + i + 1)})
			}
		})
		err := c.Events(t.Context(), last, "shop", func(e Event) error {
			if n++; e.Detail != fmt.Sprint(n) || e.ID <= last || e.Kind != "step" {
				t.Errorf("event %d: %+v", n, e)
			}
			last = e.ID
			if n == 10*(part+1) {
				return errEnough
			}
			return nil
		})
		if !errors.Is(err, errEnough) {
			t.Error(err)
		}
		wait.Wait()
	}
}

func TestEventsThatAreGoneAreSaid(t *testing.T) {
	r := serve(t, Config{Events: NewFeed(4)})
	before := r.feed.last()
	for range 10 {
		r.feed.Publish(Event{Kind: "step"})
	}
	var kinds []string
	_ = r.client().Events(t.Context(), before, "", func(e Event) error {
		if kinds = append(kinds, e.Kind); len(kinds) == 5 {
			return errEnough
		}
		return nil
	})
	if strings.Join(kinds, " ") != "gap step step step step" {
		t.Error(kinds)
	}
	// An ID of an agent before this one.
	_ = r.client().Events(t.Context(), before-1_000_000, "", func(e Event) error {
		if e.Kind != "gap" {
			t.Error(e)
		}
		return errEnough
	})
	// An ID of an agent whose clock was ahead: what comes is told all the same.
	kinds = nil
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	err := r.client().Events(ctx, r.feed.last()+1_000_000, "", func(e Event) error {
		if kinds = append(kinds, e.Kind); len(kinds) == 2 {
			return errEnough
		}
		r.feed.Publish(Event{Kind: "step"})
		return nil
	})
	if strings.Join(kinds, " ") != "gap step" {
		t.Errorf("%q, %v", kinds, err)
	}
}

func TestReaderOfEventsWhoIsTooSlowIsCut(t *testing.T) {
	r := serve(t, Config{Events: NewFeed(4)})
	var kinds []string
	connected := make(chan struct{})
	after := r.feed.last()
	r.feed.Publish(Event{Kind: "step"})
	err := r.client().Events(t.Context(), after, "", func(e Event) error {
		if len(kinds) == 0 {
			close(connected)
			for range 10_000 { // far more than buffers hold, while nobody reads
				r.feed.Publish(Event{Kind: "step", Detail: strings.Repeat("x", 1000)})
			}
		}
		kinds = append(kinds, e.Kind)
		return nil
	})
	<-connected
	if !errors.Is(err, io.EOF) || kinds[len(kinds)-1] != "cut" || len(kinds) > 5000 {
		t.Errorf("%d events, %v", len(kinds), err)
	}
}

func TestReaderOfEventsWhoTakesNothingIsCut(t *testing.T) {
	r := serve(t, Config{IOTimeout: time.Second, Events: NewFeed(100_000)})
	nc := r.raw("GET /v1/events HTTP/1.1\r\nHost: agent\r\n\r\n")
	_, err := http.ReadResponse(bufio.NewReaderSize(nc, 16), nil)
	must(t, err)
	for range 2000 {
		r.feed.Publish(Event{Kind: "step", Detail: strings.Repeat("x", 1000)})
	}
	r.until(func() bool { // nothing is read; the server closes
		r.server.local.mu.Lock()
		defer r.server.local.mu.Unlock()
		return r.server.local.sum == 0
	})
}

func TestLogsFollowUntilTheClientLeaves(t *testing.T) {
	r := serve(t, Config{})
	left := make(chan struct{})
	r.agent.log = func(ctx context.Context, tail int, follow bool) io.ReadCloser {
		text, in := io.Pipe()
		context.AfterFunc(ctx, func() {
			_ = in.CloseWithError(ctx.Err())
			close(left)
		})
		go func() { _, _ = fmt.Fprintf(in, "tail %d, follow %t\n", tail, follow) }()
		return text
	}
	log, err := r.client().Logs(t.Context(), "shop", 5, true)
	must(t, err)
	line, err := bufio.NewReader(log).ReadString('\n')
	if line != "tail 5, follow true\n" {
		t.Errorf("%q, %v", line, err)
	}
	must(t, log.Close())
	<-left
}

func TestLogThatFailsDoesNotEndAsAWholeOne(t *testing.T) {
	r := serve(t, Config{})
	r.agent.log = func(context.Context, int, bool) io.ReadCloser {
		return io.NopCloser(io.MultiReader(strings.NewReader("a line\n"), failing{}))
	}
	log, err := r.client().Logs(t.Context(), "shop", 5, false)
	must(t, err)
	defer log.Close()
	if text, err := io.ReadAll(log); err == nil {
		t.Errorf("%q, and no error", text)
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("disk is ill") }

func TestOneClientCannotKeepOthersOut(t *testing.T) {
	g := guard{all: 10, each: 4, now: map[string]int{}}
	for i := range 6 {
		if g.enter("uid:7") != (i < 4) {
			t.Errorf("connection %d", i)
		}
	}
	for i := range 8 {
		if g.enter(fmt.Sprint("uid:", i+10)) != (i < 6) {
			t.Errorf("user %d", i)
		}
	}
	g.leave("uid:7")
	if !g.enter("uid:20") || g.enter("uid:21") {
		t.Error("a place that became free")
	}
}

func TestClientThatDoesNotFinishItsRequestIsCut(t *testing.T) {
	r := serve(t, Config{IOTimeout: 500 * time.Millisecond})
	for _, part := range []string{"", "GET /v1/serv", "POST /v1/services/shop/upgrade HTTP/1.1\r\nHost: agent\r\nContent-Length: 100\r\n\r\n{"} {
		nc := r.raw(part)
		if _, err := io.Copy(io.Discard, nc); err != nil {
			t.Errorf("%q: %v", part, err)
		}
	}
	nc := r.raw("GET /v1/services HTTP/1.1\r\nHost: agent\r\nX-Large: " + strings.Repeat("x", 3*maxHeader) + "\r\n\r\n")
	answer, err := http.ReadResponse(bufio.NewReader(nc), nil)
	if err != nil || answer.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("%+v, %v", answer, err)
	}
}

func TestAuditLogThatCannotBeWrittenHoldsUpNobody(t *testing.T) {
	r := serve(t, Config{})
	must(t, os.Rename(r.log.Path(), r.log.Path()+".away"))
	must(t, os.Mkdir(r.log.Path(), 0o700)) // which cannot be appended to
	if _, err := r.client().Abort(t.Context(), "shop", "it is bad"); err != nil {
		t.Error(err)
	}
}

func TestServerEndsWithItsStreamsAndLeavesNothing(t *testing.T) {
	r := serve(t, Config{})
	r.end()
	before, descriptors := runtime.NumGoroutine(), leaktest.Descriptors(t)
	for range 3 {
		r.start()
		c := r.client()
		asked := len(r.records())
		var wait sync.WaitGroup
		for _, stream := range []func() error{
			func() error { return c.Events(t.Context(), 0, "", func(Event) error { return nil }) },
			func() error { _, err := c.Upgrade(t.Context(), "shop", UpgradeRequest{Wait: true}); return err },
		} {
			wait.Go(func() {
				if err := stream(); err == nil {
					t.Error("a stream ended well")
				}
			})
		}
		r.until(func() bool { return len(r.records()) > asked+1 })
		r.end()
		wait.Wait()
		c.Close()
	}
	r.until(func() bool { return runtime.NumGoroutine() <= before && leaktest.Descriptors(t) <= descriptors })
}

func TestSocketIsTakenFromTheDeadAndFromNobodyElse(t *testing.T) {
	r := serve(t, Config{})
	if ln, err := ListenUnix(r.socket); err == nil {
		_ = ln.Close()
		t.Error("two listen at one path")
	}
	info, err := os.Stat(r.socket)
	if err != nil || info.Mode().Perm() != 0o666 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	file := r.dir + "/file"
	must(t, os.WriteFile(file, []byte("precious"), 0o600))
	if _, err := ListenUnix(file); err == nil {
		t.Error("a file was replaced")
	}
}

// raw sends bytes on a connection of their own. It does not count as an admin's.
func (r *rig) raw(text string) net.Conn {
	r.t.Helper()
	r.server.access.Store(&grants{gids: map[int]Role{os.Getegid(): Admin}})
	nc, err := net.Dial("unix", r.socket)
	must(r.t, err)
	r.t.Cleanup(func() { _ = nc.Close() })
	must(r.t, nc.SetDeadline(time.Now().Add(patience)))
	_, err = io.WriteString(nc, text)
	must(r.t, err)
	return nc
}

// until waits for what has no event to wait for: that something was written to disk, or has ended.
func (r *rig) until(done func() bool) {
	r.t.Helper()
	deadline := time.After(patience)
	for !done() {
		select {
		case <-time.After(2 * time.Millisecond):
		case <-deadline:
			r.t.Fatal("it does not come")
		}
	}
}
