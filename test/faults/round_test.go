//go:build linux

package faults

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/handover-go/handover/handovertest"
	"github.com/handover-go/handover/internal/wire"
	"github.com/handover-go/handover/test/internal/control"
	"github.com/handover-go/handover/test/internal/executable"
	"github.com/handover-go/handover/test/internal/relay"
	"github.com/handover-go/handover/test/internal/rig"
)

// everyKind is every kind of client.
var everyKind = handovertest.Clients{
	KeepAlive: 3, New: 2, Slow: 1, Upload: 1, Continue: 1, Pipelined: 1, Dribble: 1, Silent: 1, Idle: 1, Stream: 1,
}

// drainTimeout of a round, after which is cut what the fault has left in doubt; it is longer than any delay.
const drainTimeout = 10 * time.Second

// round is a service that lives for one round of the soak.
type round struct {
	*rig.Run
	t       *testing.T
	builds  func(flaw string) string
	choices choices
	address string
	program string // path of the service's executable
	dir     string // of the takeover socket
	file    string // of the fault
	keeper  int    // its process; 0: there is none
	output  *os.File
	reader  *reader

	sessions *sessions
	packets  *datagrams
	loose    bool // see fault.loose
	kills    bool // see step.kills
	upgrades int
	counts   map[string]int // what came of the strikes
}

// begin starts a service, in whose environment more may be set once its address is known.
func begin(t *testing.T, c choices, builds func(string) string, more func(address string) (env []string)) *round {
	t.Helper()
	dir := control.Dir(t)
	r := &round{
		Run: rig.New(t, rig.Patience{Test: 5 * time.Minute}), t: t, builds: builds, choices: c, dir: filepath.Join(dir, "run"), file: filepath.Join(dir, "fault"),
		address: handovertest.FreeAddress(t), reader: newReader(), counts: map[string]int{},
	}
	lines, packets := handovertest.FreeAddress(t), handovertest.FreeAddress(t)
	s := handovertest.Service{
		Path: builds(""), Address: r.address, Output: r.reader, ReadyTimeout: time.Minute, UpgradeTimeout: time.Minute, StopTimeout: time.Minute,
		Env: []string{
			"ADDR=" + r.address, "SESSIONS=tcp:" + lines, "PACKETS=udp:" + packets, "HANDOVER_FAULT=" + r.file,
			"HANDOVER_NAME=shop", "HANDOVER_RUNTIME_DIR=" + r.dir, "HANDOVER_PROBATION=" + c.probation.String(),
			"HANDOVER_CHECK_INTERVAL=50ms", "HANDOVER_CHECK_TIMEOUT=1s", "HANDOVER_CHECK_FAILURES=2", "HANDOVER_READY_TIMEOUT=10s",
			"HANDOVER_DRAIN_TIMEOUT=" + drainTimeout.String(),
		},
	}
	if more != nil {
		s.Env = append(s.Env, more(r.address)...)
	}
	if c.topology == kept {
		r.program = filepath.Join(dir, "service")
		r.put(builds(""))
		s.Path, s.Args = builds("keeper"), r.flags()
	}
	r.Start(s)
	if c.topology != kept {
		r.program = r.Path()
	}
	var err error
	r.output, err = os.OpenFile(fmt.Sprintf("/proc/%d/fd/2", r.PID()), os.O_WRONLY, 0) // outlives every process
	must(t, err)
	t.Cleanup(func() { r.output.Close() })
	r.settle()
	r.sessions = dialSessions(t, lines, 4, r.PID())
	r.packets = sendDatagrams(t, packets)
	return r
}

// flags are those of a keeper.
func (r *round) flags() []string {
	return []string{"-name", "shop", "-state", filepath.Join(filepath.Dir(r.dir), "state"), "-steady", "1ms", "-restarts", "100", r.program}
}

// put puts a build where the next generation is started from.
func (r *round) put(program string) {
	r.t.Helper()
	executable.Put(r.t, program, r.program)
}

// drive puts the service under load.
func (r *round) drive() {
	r.t.Helper()
	load := r.Load()
	load.Clients = everyKind
	load.Timeout = time.Minute
	if r.choices.jitter {
		load.Address = relay.Start(r.t, r.address, 2*time.Millisecond, 30*time.Millisecond).Address()
	}
	r.Drive(load)
	r.reader.drives(r.Driver)
	r.sessions.begin()
}

// run goes through all steps, and judges what they have cost.
func (r *round) run() handovertest.Report {
	r.t.Helper()
	r.drive()
	for _, s := range r.choices.steps {
		r.step(s)
	}
	if !r.choices.quiet {
		r.next()
	}
	r.reader.allDeaths()
	report := r.Driver.Stop()
	r.judge(report)
	if r.choices.quiet {
		r.next()
	}
	return report
}

// step runs one upgrade, with its strike.
func (r *round) step(s step) {
	r.t.Helper()
	r.loose = r.loose || s.strike == atFrame && s.fault.loose()
	r.kills = r.kills || s.kills()
	r.put(r.builds(s.build))
	incumbent, successor := r.PID(), 0
	r.reader.expects(s.fault.effect)
	if s.strike == atFrame {
		must(r.t, os.WriteFile(r.file, []byte(s.fault.String()), 0o600))
	}
	random := rand.New(rand.NewPCG(s.crowd, 0))
	meanwhile, over := r.meanwhile(s.strike, random), make(chan struct{})
	var crowd sync.WaitGroup
	for _, do := range meanwhile {
		crowd.Go(func() { do(over) })
	}
	r.ask()

	var strike, release <-chan time.Time
	undo := func() {}
	armed := s.strike == atInstant || s.strike == descriptors
	patience := time.NewTimer(2 * time.Minute)
	defer patience.Stop()
	for settled := false; !settled || strike != nil || release != nil; {
		select {
		case e := <-r.reader.events:
			switch e.kind {
			case begins:
				if successor = e.pid; armed && s.victim == "successor" {
					strike, armed = time.After(s.after), false
				}
			case offered: // killed before, an incumbent is the only one that has the listeners
				if armed {
					strike, armed = time.After(s.after), false
				}
			case proving:
				r.provoke(s.build)
			case struck:
				r.counts["struck"]++
				if s.fault.effect == "STOP" {
					release, undo = time.After(200*time.Millisecond), func() { r.goesOn(e.pid) }
				}
			case takenBack:
				settled = true
				if s.build == "deaf" || s.build == "spin" {
					strike, s.victim, s.signal, s.strike = time.After(500*time.Millisecond), "successor", "KILL", atInstant
				}
			case settles: // but a handover that has begun goes on without its keeper
				settled = settled || successor == 0 || !strings.Contains(e.line, "the keeper is gone")
			}
		case <-strike:
			strike = nil
			victim := map[string]int{"incumbent": incumbent, "successor": successor, "keeper": r.keeper}[s.victim]
			if undone := r.hit(s, victim); undone != nil {
				undo, release = undone, time.After(s.hold)
			}
		case <-release:
			release = nil
			undo()
		case <-patience.C:
			r.t.Fatalf("%s: a handover has no outcome\n%s", s, r.Output(150))
		}
	}
	close(over)
	crowd.Wait()
	if err := os.Remove(r.file); err == nil && s.strike == atFrame {
		r.counts["missed"]++
	}
	r.put(r.builds(""))
	r.settle()
	r.Answers(20)
	r.upgrades++
}

// ask asks for an upgrade, the way of the topology.
func (r *round) ask() {
	r.t.Helper()
	switch r.choices.topology {
	case alone:
		r.Signal(r.PID(), syscall.SIGUSR2)
	case kept:
		r.Signal(r.keeper, syscall.SIGUSR2)
	case joined:
		r.ByHand(r.PID(), r.program)
	}
}

// provoke asks for the request that some builds are bad at.
func (r *round) provoke(build string) {
	if build != "failing" && build != "spin" {
		return
	}
	c, err := net.Dial("tcp", r.address)
	if err != nil {
		r.t.Errorf("the successor is asked: %v", err)
		return
	}
	r.t.Cleanup(func() { c.Close() })
	fmt.Fprintf(c, "GET /?id=%s HTTP/1.1\r\nHost: service\r\nConnection: close\r\n\r\n", map[string]string{"failing": "fail", "spin": "spin"}[build])
}

// hit strikes a process that may have ended. What it returns undoes it; nil: nothing is to be undone.
func (r *round) hit(s step, pid int) (undo func()) {
	r.t.Helper()
	if !slices.ContainsFunc(r.Family(), func(p handovertest.Process) bool { return p.PID == pid && p.State != "Z" }) {
		r.counts["missed"]++
		return nil
	}
	r.counts["struck"]++
	switch {
	case s.strike == descriptors:
		return exhaust(pid)
	case s.signal == "STOP":
		if syscall.Kill(pid, syscall.SIGSTOP) != nil {
			return nil
		}
		return func() { syscall.Kill(pid, syscall.SIGCONT) }
	}
	at := time.Now()
	if syscall.Kill(pid, syscall.SIGKILL) == nil {
		r.reader.killed(pid, at)
		r.AwaitExit(pid)
	}
	return nil
}

// goesOn continues a process that has said that it stops: it does so before it does, and may have ended since.
func (r *round) goesOn(pid int) {
	r.t.Helper()
	r.Eventually(fmt.Sprintf("process %d at rest, or ended", pid), func() (any, bool) {
		family := r.Family()
		return family, !slices.ContainsFunc(family, func(p handovertest.Process) bool { return p.PID == pid && p.State != "T" && p.State != "Z" })
	})
	_ = syscall.Kill(pid, syscall.SIGCONT)
}

// catches reports whether a process handles upgrade signals.
func (r *round) catches(pid int) bool {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	_, mask, _ := strings.Cut(string(text), "SigCgt:")
	mask, _, _ = strings.Cut(strings.TrimSpace(mask), "\n")
	bits, _ := strconv.ParseUint(mask, 16, 64)
	return bits&(1<<(syscall.SIGUSR2-1)) != 0
}

// meanwhile is what others do as long as a step lasts.
func (r *round) meanwhile(strike string, random *rand.Rand) []func(over <-chan struct{}) {
	switch strike {
	case storm:
		return []func(<-chan struct{}){func(over <-chan struct{}) { r.signals(over, random) }}
	case hostile:
		return []func(<-chan struct{}){func(over <-chan struct{}) { r.enemies(over, random) }}
	case starved:
		return []func(<-chan struct{}){func(over <-chan struct{}) { r.stops(over, random) }}
	}
	return nil
}

// next is the next upgrade, which works.
func (r *round) next() {
	r.t.Helper()
	before := r.PID()
	r.reader.expects("")
	r.ask()
	for {
		select {
		case e := <-r.reader.events:
			if e.kind != settles {
				continue
			}
			if !final.MatchString(e.line) {
				r.t.Fatalf("the next upgrade: %s\n%s", e.line, r.Output(150))
			}
		case <-r.Ctx.Done():
			r.t.Fatalf("the next upgrade has no outcome\n%s", r.Output(150))
		}
		break
	}
	r.settle()
	if r.PID() == before {
		r.t.Errorf("process %d serves still", before)
	}
	r.upgrades++
}

// settle waits until exactly one generation is left, which serves, and its keeper, which knows it.
func (r *round) settle() {
	r.t.Helper()
	patience, cancel := context.WithTimeout(r.Ctx, 2*time.Minute)
	defer cancel()
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for calm := 0; calm < 3; {
		what, ok := r.calm()
		if calm++; !ok {
			calm = 0
		}
		select {
		case <-look.C:
		case <-patience.Done():
			r.t.Fatalf("not one generation that serves: %s; %v\n%s", what, r.Family(), r.Output(150))
		}
	}
}

func (r *round) calm() (what string, ok bool) {
	for _, p := range r.Family() {
		if p.State == "T" { // struck by a STOP after the handover had its outcome: nobody else may be there to answer
			_ = syscall.Kill(p.PID, syscall.SIGCONT)
		}
	}
	reply, err := control.Ask(filepath.Join(r.dir, "shop.sock"), &wire.Status{}, time.Second, nil)
	if err != nil || reply.Status == nil {
		return fmt.Sprint("status ", reply, err), false
	}
	s, want := reply.Status, 1
	if s.Keeper != nil {
		r.keeper, want = s.Keeper.PID, 2
		if s.Keeper.State != "serving" { // it may have been asked for a handover of which no generation knows yet
			return "the keeper is " + s.Keeper.State, false
		}
	} else if r.choices.topology == kept {
		if len(r.Family()) == 1 && s.State == "serving" {
			r.ByHand(r.PID(), append([]string{r.builds("keeper")}, r.flags()...)...)
			<-time.After(100 * time.Millisecond) // whether it is let in, the next look shows
		}
		return "no keeper", false
	}
	return fmt.Sprintf("%+v", s), s.State == "serving" && len(r.Family()) == want
}

// judge says what the round may have cost: nothing, but what was killed or cut.
func (r *round) judge(report handovertest.Report) {
	r.t.Helper()
	deaths := r.reader.allDeaths()
	if !r.kills && deaths > 0 {
		r.t.Errorf("%d processes were killed", deaths)
	}
	if r.loose {
		report = forgive(report, everyKind.Total())
	}
	handovertest.AssertLostInCrashOnly(r.t, report)
	lost := r.sessions.end()
	if deaths == 0 && !r.loose && lost > 0 {
		r.t.Errorf("%d sessions are lost", lost)
	}
	for _, s := range r.sessions.all {
		s.Close()
	}
	if unanswered := r.packets.end(2 * deaths); unanswered > 2*deaths {
		r.t.Errorf("%d datagrams are not answered, with %d deaths", unanswered, deaths)
	}
	if r.t.Failed() {
		r.t.Logf("%s", r.Output(300))
	}
}

// held are the descriptors of the process that serves, when nobody talks to it.
func (r *round) held() int {
	r.t.Helper()
	n, err := handovertest.OpenFDs(r.PID())
	must(r.t, err)
	return n
}

// tidy waits until the process that serves holds no more descriptors than another in its place did.
func (r *round) tidy(most int) {
	r.t.Helper()
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	patience := time.NewTimer(10 * time.Second)
	defer patience.Stop()
	for r.held() > most {
		select {
		case <-look.C:
		case <-patience.C:
			links, _ := exec.CommandContext(r.Ctx, "ls", "-l", "/proc/"+strconv.Itoa(r.PID())+"/fd").CombinedOutput()
			r.t.Fatalf("%d descriptors are open, want %d at most\n%s", r.held(), most, links)
		}
	}
}
