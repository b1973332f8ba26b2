package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/handover-go/handover/host/agent/config"
	"github.com/handover-go/handover/host/control"
	"github.com/handover-go/handover/host/journal"
	"github.com/handover-go/handover/host/judge"
	"github.com/handover-go/handover/host/service"
)

// TestEvidenceIsToldWhole, as the judge has it.
func TestEvidenceIsToldWhole(t *testing.T) {
	evidence := judge.Evidence{
		Test: "errors", Outcome: judge.Pass, Value: 0.1, Against: 0.2, Limit: 0.3, P: 0.4, Alpha: 0.5, Detectable: 0.6, N: 7, Detail: "errors",
	}
	encoded, err := json.Marshal([]judge.Evidence{evidence})
	if err != nil {
		t.Fatal(err)
	}
	u := upgrade(journal.Upgrade{Evidence: encoded})
	told, err := json.Marshal(u.Evidence)
	var again []judge.Evidence
	if err := errors.Join(err, json.Unmarshal(told, &again)); err != nil || len(again) != 1 || again[0] != evidence {
		t.Errorf("%+v, %v", again, err)
	}
}

func TestServicesAreToldInTheOrderInWhichTheyStart(t *testing.T) {
	c := config.Config{Services: []config.Service{{Name: "api", After: []string{"shop"}}, {Name: "web"}, {Name: "shop"}, {Name: "gone"}}}
	all := map[string]*kept{"api": {}, "new": {}, "shop": {}, "web": {}}
	if got := ordered(c.StartOrder(), all); !slices.Equal(got, []string{"web", "shop", "api", "new"}) {
		t.Error(got)
	}
}

// TestAgentIsToldWhileServicesAreAdded is one of the race detector.
func TestAgentIsToldWhileServicesAreAdded(t *testing.T) {
	k := &core{services: map[string]*kept{}}
	a := &agent{core: k}
	var adding sync.WaitGroup
	defer adding.Wait()
	adding.Go(func() {
		for n := range 100 {
			k.mu.Lock()
			k.services[fmt.Sprint(n)] = nil
			k.mu.Unlock()
		}
	})
	for range 100 {
		if _, err := a.Agent(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// TestSourceOfUnsignedReleasesIsForAnAdminToName, as what lies there may be any program.
func TestSourceOfUnsignedReleasesIsForAnAdminToName(t *testing.T) {
	operator, admin := control.Caller{Role: control.Operator}, control.Caller{Role: control.Admin}
	signed, unsigned := config.Release{Source: "/srv/shop"}, config.Release{Source: "/srv/shop", Unsigned: true}
	for _, c := range []struct {
		by      control.Caller
		release config.Release
		source  string
		denied  bool
	}{
		{operator, signed, "/tmp/other", false},
		{operator, unsigned, "/tmp/other", true},
		{operator, unsigned, "/srv/shop", false},
		{operator, unsigned, "", false},
		{admin, unsigned, "/tmp/other", false},
	} {
		err := vouched(c.by, c.release, control.UpgradeRequest{Source: c.source})
		if errors.Is(err, control.ErrDenied) != c.denied || (err == nil) == c.denied {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

// TestServiceIsToldWithWhatItsGenerationsCount: requests of all together, connections of each that drains, and nothing where nobody counts.
func TestServiceIsToldWithWhatItsGenerationsCount(t *testing.T) {
	s := control.Service{PID: 8, Draining: []control.Generation{{Generation: 6, PID: 6}, {Generation: 7, PID: 7}}}
	count(&s, nil)
	if s.InFlight != nil || s.Draining[0].Connections != nil {
		t.Errorf("nobody counts, and it has %+v", s)
	}
	var said []service.Stats
	if err := json.Unmarshal([]byte(`[
		{"pid": 8, "requests": {"in_flight": 2}, "connections": {"idle": 100}},
		{"pid": 7, "requests": {"in_flight": 3}, "connections": {"new": 1, "active": 2, "idle": 4, "hijacked": 8, "other": 16}}
	]`), &said); err != nil {
		t.Fatal(err)
	}
	count(&s, said)
	if s.InFlight == nil || *s.InFlight != 5 || s.Draining[0].Connections != nil || s.Draining[1].Connections == nil || *s.Draining[1].Connections != 31 {
		t.Errorf("%+v", s)
	}
}
