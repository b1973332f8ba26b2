package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/handover-go/handover/host/audit"
)

const patience = 20 * time.Second

func TestMain(m *testing.M) {
	if path := os.Getenv("CONTROL_TEST_SOCKET"); path != "" {
		asAnother(path)
		return
	}
	os.Exit(m.Run())
}

// asAnother asks at a socket, as whoever this process is, and tells what came of it.
func asAnother(path string) {
	c, err := Dial(path, Options{})
	if err == nil {
		_, err = c.Services(context.Background())
		fmt.Println("services:", class(err))
		_, err = c.Upgrade(context.Background(), "shop", UpgradeRequest{Source: "https://bob:secret@example.com/shop.tar?token=secret"})
		fmt.Println("upgrade:", class(err))
	}
	if err != nil {
		fmt.Println(err)
	}
}

// class is the code of an error.
func class(err error) string {
	var e *Error
	switch {
	case err == nil:
		return "done"
	case errors.As(err, &e):
		return e.Code
	}
	return err.Error()
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// rig is a server with a fake agent behind it.
type rig struct {
	t      testing.TB
	dir    string
	socket string
	agent  *fake
	log    *audit.Log
	server *Server
	feed   *Feed
	end    func() // of the server; waits for it
}

// serve starts a server at a socket that every user can reach.
func serve(t testing.TB, c Config) *rig {
	t.Helper()
	dir, err := os.MkdirTemp("", "control") // short: sun_path has 108 bytes
	must(t, err)
	t.Cleanup(func() { must(t, os.RemoveAll(dir)) })
	must(t, os.Chmod(dir, 0o755))
	r := &rig{t: t, dir: dir, socket: filepath.Join(dir, "agent.sock"), agent: newFake(), feed: NewFeed(1000)}
	if c.Events != nil {
		r.feed = c.Events
	}
	r.log, err = audit.Open(filepath.Join(dir, "audit.log"), audit.Options{})
	must(t, err)
	t.Cleanup(func() { must(t, r.log.Close()) })
	c.Backend, c.Audit, c.Events = r.agent, r.log, r.feed
	r.server, err = NewServer(c)
	must(t, err)
	r.start()
	t.Cleanup(func() { r.end() })
	return r
}

func (r *rig) start() {
	r.t.Helper()
	ln, err := ListenUnix(r.socket)
	must(r.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.server.Serve(ctx, ln) }()
	r.end = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			r.t.Error(err)
		}
	})
}

func (r *rig) client() *Client {
	r.t.Helper()
	c, err := Dial(r.socket, Options{})
	must(r.t, err)
	r.t.Cleanup(c.Close)
	return c
}

// records of the audit log, as far as they matter here.
func (r *rig) records() []string {
	r.t.Helper()
	all, err := audit.Read(r.log.Path(), audit.Query{Limit: 1000})
	must(r.t, err)
	var text []string
	for _, a := range all {
		route := a.What.Route[strings.LastIndex(a.What.Route, "/")+1:]
		text = append(text, strings.TrimSpace(fmt.Sprintf("%s %s %s %d %s %s", a.Who.Role, route, a.What.Service, a.Outcome.Status, a.Outcome.Code, a.Outcome.Detail)))
	}
	return text
}

func (r *rig) recorded(want ...string) {
	r.t.Helper()
	if got := r.records(); !slices.Equal(got, want) {
		r.t.Errorf("audit log:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if _, err := audit.Verify(r.log.Path(), audit.Expectation{}); err != nil {
		r.t.Error(err)
	}
}

// fake is an agent with one service, shop, and one release of it.
type fake struct {
	mu      sync.Mutex
	fails   error // what every question gets
	upgrade Upgrade
	taken   chan struct{} // closed at the next step
	asked   []string
	enter   chan struct{} // if set: Stop tells that it was asked, and waits for leave
	leave   chan struct{}
	log     func(ctx context.Context, tail int, follow bool) io.ReadCloser
}

func newFake() *fake { return &fake{taken: make(chan struct{})} }

var now = time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)

// step takes the upgrade to a state, which may be its last.
func (f *fake) step(state string, over bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.upgrade.State, f.upgrade.Steps = state, append(slices.Clone(f.upgrade.Steps), Step{State: state, At: now, Detail: "so it is"})
	if over {
		f.upgrade.Ended, f.upgrade.Reason = &now, "the reason"
	}
	close(f.taken)
	f.taken = make(chan struct{})
}

func (f *fake) ask(what, name string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, what)
	if f.fails != nil {
		return fmt.Errorf("ask about %q: %w", name, f.fails)
	}
	if name != "shop" {
		return fmt.Errorf("%w: %q", ErrUnknownService, name)
	}
	return nil
}

func (f *fake) begin(kind string, by Caller) Upgrade {
	f.mu.Lock()
	f.upgrade = Upgrade{
		ID: "shop/12", Service: "shop", Number: 12, Kind: kind, From: "1.0.0-aaaaaaaaaaaa", To: "1.1.0-bbbbbbbbbbbb", By: by.String(), Began: now, State: "planned",
		Steps: []Step{{State: "planned", At: now}}, Evidence: []Evidence{{Test: "errors", Value: 0.1, Against: 0.01, Limit: 0.02, P: 0.001, N: 1000}},
		SwitchUs: 356, BakeEnds: &now,
	}
	u := f.upgrade
	f.mu.Unlock()
	return u
}

func (f *fake) shop() Service {
	return Service{
		Name: "shop", State: "running", Version: "1.0.0", Release: "1.0.0-aaaaaaaaaaaa", Generation: 3, PID: 4711, Started: &now, Health: "good",
		Keeper: &Process{4700, "v0.1.0"}, Draining: []Generation{{Generation: 2, PID: 4705}}, Connections: 310,
	}
}

func (f *fake) Services(context.Context) ([]Service, error) {
	if err := f.ask("services", "shop"); err != nil {
		return nil, err
	}
	return []Service{f.shop()}, nil
}

func (f *fake) Service(_ context.Context, name string) (Service, error) {
	return f.shop(), f.ask("service", name)
}

func (f *fake) History(_ context.Context, name string, limit int) ([]Upgrade, error) {
	return nil, f.ask(fmt.Sprint("history ", limit), name)
}

func (f *fake) Releases(_ context.Context, name string) ([]Release, error) {
	return []Release{{ID: "1.0.0-aaaaaaaaaaaa", Version: "1.0.0", Created: now, Expires: &now, Signer: "RW", Current: true}}, f.ask("releases", name)
}

func (f *fake) Logs(ctx context.Context, name string, tail int, follow bool) (io.ReadCloser, error) {
	if err := f.ask("logs", name); err != nil {
		return nil, err
	}
	if f.log != nil {
		return f.log(ctx, tail, follow), nil
	}
	return io.NopCloser(strings.NewReader(fmt.Sprintf("tail %d, follow %t\n", tail, follow))), nil
}

func (f *fake) Lookup(_ context.Context, service string, number uint64) (Upgrade, error) {
	if err := f.ask("lookup", service); err != nil {
		return Upgrade{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if number != f.upgrade.Number {
		return Upgrade{}, fmt.Errorf("%w: %s/%d", ErrUnknownUpgrade, service, number)
	}
	return f.upgrade, nil
}

func (f *fake) Await(ctx context.Context, service string, number uint64, steps int) (Upgrade, error) {
	for {
		f.mu.Lock()
		u, taken := f.upgrade, f.taken
		f.mu.Unlock()
		if u.Over() || len(u.Steps) > steps {
			return u, nil
		}
		select {
		case <-taken:
		case <-ctx.Done():
			return u, ctx.Err()
		}
	}
}

func (f *fake) Agent(context.Context) (Agent, error) {
	return Agent{PID: os.Getpid(), Version: "v0.1.0", Started: now, Loaded: now, Config: "/etc/handover/agent.yaml", Services: 1}, f.ask("agent", "shop")
}

func (f *fake) Plan(_ context.Context, _ Caller, name string, r UpgradeRequest) (Plan, error) {
	return Plan{Service: name, To: r.Release, Steps: []string{"switch"}}, f.ask("plan", name)
}

func (f *fake) Upgrade(ctx context.Context, by Caller, name string, r UpgradeRequest) (Upgrade, error) {
	if _, bounded := ctx.Deadline(); !bounded {
		return Upgrade{}, errors.New("an action without a deadline")
	}
	if err := f.ask("upgrade", name); err != nil {
		return Upgrade{}, err
	}
	return f.begin("upgrade", by), nil
}

func (f *fake) Rollback(_ context.Context, by Caller, name string, r RollbackRequest) (Upgrade, error) {
	if err := f.ask("rollback", name); err != nil {
		return Upgrade{}, err
	}
	return f.begin("rollback", by), nil
}

func (f *fake) Promote(_ context.Context, by Caller, name string) (Upgrade, error) {
	return f.begin("upgrade", by), f.ask("promote", name)
}

func (f *fake) Abort(_ context.Context, by Caller, name, reason string) (Upgrade, error) {
	return f.begin("upgrade", by), f.ask("abort "+reason, name)
}

func (f *fake) Pause(_ context.Context, _ Caller, name, reason string) (Service, error) {
	return f.shop(), f.ask("pause "+reason, name)
}

func (f *fake) Resume(_ context.Context, _ Caller, name string) (Service, error) {
	return f.shop(), f.ask("resume", name)
}

func (f *fake) Start(_ context.Context, _ Caller, name string) (Service, error) {
	return f.shop(), f.ask("start", name)
}

func (f *fake) Stop(ctx context.Context, _ Caller, name string) (Service, error) {
	if f.enter != nil {
		close(f.enter)
		select {
		case <-f.leave:
		case <-ctx.Done():
			return Service{}, ctx.Err()
		}
	}
	return f.shop(), f.ask("stop", name)
}

func (f *fake) StopAll(context.Context, Caller) error { return f.ask("stop-services", "shop") }

func (f *fake) Reload(context.Context, Caller) (Reload, error) {
	return Reload{Changed: []string{"shop"}}, f.ask("reload", "shop")
}
