package fake

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/handover-go/handover/host/audit"
	"github.com/handover-go/handover/host/control"
)

// Agent is an agent that keeps nothing: it answers at a control socket, and ends upgrades as a test wants them to end. It is asked by package
// control, as an agent is.
type Agent struct {
	log    *audit.Log
	server *control.Server
	ctx    context.Context // of listeners
	stop   context.CancelFunc
	wait   sync.WaitGroup

	mu       sync.Mutex
	script   agentScript
	services []control.Service
	upgrade  control.Upgrade // begun last
	asked    []string
}

// agentScript is what a fake agent does.
type agentScript struct {
	several bool     // it keeps three services, not one
	refuses error    // what an upgrade, a plan and every other change gets
	fails   error    // what every question gets
	states  []string // of an upgrade, a step for each time that it is awaited; the last is its end, unless it waits
	reason  string   // of that end
	waits   bool     // the upgrade stays in the last of its states
}

var steps = []string{"planned", "staging", "asking", "switching", "proving", "baking"}

func end(n int, state string) []string { return append(slices.Clone(steps[:n]), state) }

var agentScripts = map[string]agentScript{
	"kept":     {states: end(6, "kept")},
	"several":  {states: end(6, "kept"), several: true},
	"aborted":  {states: end(4, "aborted"), reason: "the successor ended before it was ready: exit status 2"},
	"resumed":  {states: end(5, "resumed"), reason: "the check http failed 3 times"},
	"returned": {states: end(6, "returned"), reason: "errors: 0.1 is above 0.02"},
	"failed":   {states: end(3, "failed"), reason: "nobody answers for the service"},
	"waits":    {states: steps, waits: true},
	"refused":  {refuses: fmt.Errorf("%w: the signature of \x1b[31mnobody", control.ErrRefused)},
	"vetoed":   {refuses: fmt.Errorf("%w: not on a Friday", control.ErrVetoed)},
	"busy":     {refuses: fmt.Errorf("%w: number 12, baking", control.ErrBusy)},
	"idle":     {refuses: fmt.Errorf("%w: nothing is under way", control.ErrConflict)},
	"denied":   {fails: fmt.Errorf("%w: POST takes the role operator", control.ErrDenied)},
	"ending":   {fails: control.ErrUnavailable},
}

// Epoch is when everything at a fake agent began, but its services, which began a day ago.
var Epoch = time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)

// AgentSocket is where the agent of a runtime directory is asked.
func AgentSocket(runtimeDir string) string { return filepath.Join(runtimeDir+"-agent", "agent.sock") }

// StartAgent answers as the agent of a runtime directory, until Close, as the script of that name says.
func StartAgent(runtimeDir, scriptName string) (*Agent, error) {
	sc, ok := agentScripts[scriptName]
	if !ok {
		return nil, fmt.Errorf("there is no script %q", scriptName)
	}
	path := AgentSocket(runtimeDir)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	ln, err := control.ListenUnix(path)
	if err != nil {
		return nil, err
	}
	log, err := audit.Open(filepath.Join(filepath.Dir(path), "audit.log"), audit.Options{})
	if err != nil {
		return nil, errors.Join(err, ln.Close())
	}
	f := &Agent{script: sc, log: log, services: servicesOf(sc)}
	f.server, err = control.NewServer(control.Config{Backend: f, Audit: log, Access: control.Access{Operators: []string{"cn:deployer"}}})
	if err != nil {
		return nil, errors.Join(err, ln.Close(), log.Close())
	}
	f.ctx, f.stop = context.WithCancel(context.Background())
	f.serve(ln)
	return f, nil
}

// ListenTLS answers over TLS too, at the address that it returns, where the client with the common name deployer is an operator.
func (f *Agent) ListenTLS(certFile, keyFile, clientCA string) (address string, err error) {
	config, err := control.TLSConfig(certFile, keyFile, clientCA)
	if err != nil {
		return "", err
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	f.server.SetTLS(config)
	f.serve(ln)
	return "https://" + ln.Addr().String(), nil
}

func (f *Agent) serve(ln net.Listener) {
	f.wait.Go(func() { _ = f.server.Serve(f.ctx, ln) })
}

// Close ends the agent, and waits for it.
func (f *Agent) Close() error {
	f.stop()
	f.wait.Wait()
	return f.log.Close()
}

// Become has the agent go by another script, as if it had just started.
func (f *Agent) Become(scriptName string) error {
	sc, ok := agentScripts[scriptName]
	if !ok {
		return fmt.Errorf("there is no script %q", scriptName)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.script, f.services, f.upgrade = sc, servicesOf(sc), control.Upgrade{}
	return nil
}

// plays is the script that it goes by.
func (f *Agent) plays() agentScript {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.script
}

// Asked is what was asked for until now that changes something.
func (f *Agent) Asked() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.asked)
}

// Change puts a service into another state.
func (f *Agent) Change(name, state string) {
	_, _ = f.now(name, func(s *control.Service) { s.State = state })
}

func servicesOf(sc agentScript) []control.Service {
	started := time.Now().Add(-24 * time.Hour)
	shop := control.Service{
		Name: "shop", State: "running", Version: "1.4.0", Release: "1.4.0-aaaaaaaaaaaa", Generation: Generation, PID: PID, Started: &started, Restarts: 1,
		Connections: Connections, Health: "good", Keeper: &control.Process{PID: 4204000, Version: "v0.1.0"},
	}
	if !sc.several {
		return []control.Service{shop}
	}
	bakeEnds := Epoch.Add(5 * time.Minute)
	chat := control.Service{
		Name: "chat", State: "baking", Paused: true, Version: "2.1.0", Release: "2.1.0-cccccccccccc", Generation: 8, PID: 4204208, Started: &started,
		Connections: 12, Health: "bad", Reason: "check http: 503", Draining: []control.Generation{{Generation: 7, PID: 4204207, Connections: new(5)}}, InFlight: new(int64(2)),
		Upgrade: &control.Upgrade{
			ID: "chat/5", Service: "chat", Number: 5, Kind: "upgrade", From: "2.0.0-bbbbbbbbbbbb", To: "2.1.0-cccccccccccc", By: "uid:0 (admin)", Began: Epoch,
			State: "baking", BakeEnds: &bakeEnds, Steps: taken(steps),
		},
	}
	queue := control.Service{Name: "queue", State: "stopped", Health: "unknown", Reason: "stopped by uid:0"}
	return []control.Service{shop, chat, queue}
}

// taken are steps, a second each.
func taken(states []string) []control.Step {
	details := map[string]string{
		"planned": "asked for", "staging": "1.5.0 is fetched and verified", "asking": "hooks are asked",
	}
	var all []control.Step
	for i, s := range states {
		all = append(all, control.Step{State: s, At: Epoch.Add(time.Duration(i) * time.Second), Detail: details[s]})
	}
	return all
}

// change is asked for something that changes something, or would.
func (f *Agent) change(name, format string, args ...any) error {
	f.mu.Lock()
	f.asked = append(f.asked, fmt.Sprintf(format, args...))
	f.mu.Unlock()
	if refuses := f.plays().refuses; refuses != nil {
		return refuses
	}
	_, err := f.known(name)
	return err
}

func (f *Agent) known(name string) (control.Service, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.script.fails != nil {
		return control.Service{}, f.script.fails
	}
	i := slices.IndexFunc(f.services, func(s control.Service) bool { return s.Name == name })
	if i < 0 {
		return control.Service{}, fmt.Errorf("%w: %q", control.ErrUnknownService, name)
	}
	return f.services[i], nil
}

// now changes a service, and returns it.
func (f *Agent) now(name string, change func(*control.Service)) (control.Service, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range f.services {
		if f.services[i].Name == name {
			change(&f.services[i])
			return f.services[i], nil
		}
	}
	return control.Service{}, control.ErrUnknownService
}

func (f *Agent) begin(name, kind, to string, by control.Caller) control.Upgrade {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.upgrade = control.Upgrade{
		ID: name + "/12", Service: name, Number: 12, Kind: kind, From: "1.4.0-aaaaaaaaaaaa", To: to, By: by.String(), Began: Epoch, State: "planned",
		Steps: taken(steps[:1]), ReadyUs: 1_200_000, SwitchUs: 356,
	}
	return f.upgrade
}
