package keeper

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"testing"

	"github.com/handover-go/handover/internal/wire"
)

func TestListeningForAProgramNeedsBecome(t *testing.T) {
	called := becomes.Swap(false)
	defer becomes.Store(called)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	k, err := New(context.Background(), Config{
		Command: self, Name: "plain", Listen: []string{"127.0.0.1:0"}, RuntimeDir: t.TempDir() + "/run", StateDir: t.TempDir() + "/state",
	})
	if k != nil || !errors.Is(err, errBecome) {
		t.Errorf("%v, want %v", err, errBecome)
	}
}

func TestNoticesAreUnderstood(t *testing.T) {
	for message, want := range map[string]notice{
		"READY=1":                                {ready: true},
		"STATUS=a=b\nREADY=1\nMAINPID=7\n":       {ready: true, status: "a=b"},
		"READY=0":                                {},
		"XREADY=1\nWATCHDOG=1\nBARRIER=1":        {},
		"STOPPING=1\nSTATUS=going\nEXTEND=\n\n=": {stopping: true, status: "going"},
		"":                                       {},
	} {
		if got := parseNotice(message); got != want {
			t.Errorf("%q: %+v, want %+v", message, got, want)
		}
	}
}

func TestAnswerOfTheProgramItselfIsTheEvidence(t *testing.T) {
	check := &trial{}
	for _, c := range []struct {
		answered bool
		err      error
		want     string
	}{
		{false, nil, "all checks were answered by the generation before"},
		{false, errors.New("late"), "no check was answered by it; the last: late"},
		{true, errors.New("status 503"), "the last check that it answered: status 503"},
		{false, nil, "the last check that it answered: status 503"},
		{false, errors.New("late"), "the last check that it answered: status 503"},
		{true, errors.New("status 500"), "the last check that it answered: status 500"},
	} {
		if check.noteCheck(c.answered, c.err); check.evidence != c.want {
			t.Errorf("%v, %v: %q, want %q", c.answered, c.err, check.evidence, c.want)
		}
	}
}

func TestAddressesOfTheKernelAreRead(t *testing.T) {
	for text, want := range map[string]string{
		"0100007F:1F90":                         "127.0.0.1:8080",
		"00000000000000000000000001000000:0050": "[::1]:80",
		"0000000000000000FFFF00000100007F:0050": "127.0.0.1:80", // an IPv4 client of an IPv6 listener
	} {
		if got := kernelAddr(text); got != netip.MustParseAddrPort(want) {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
	for _, text := range []string{"", "local_address", "0100007F", "01:0050", "0100007F:10000"} {
		if got := kernelAddr(text); got.IsValid() {
			t.Errorf("%q: %s", text, got)
		}
	}
}

func TestSocketOfActivationIsKnownByItsAddress(t *testing.T) {
	for _, c := range []struct {
		network, bound, address string
		packet, want            bool
	}{
		{"tcp", "[::]:80", ":80", false, true},
		{"tcp", "0.0.0.0:80", ":80", false, true},
		{"tcp", "[::]:80", "127.0.0.1:80", false, false},
		{"tcp", "127.0.0.1:80", "127.0.0.1:80", false, true},
		{"tcp", "127.0.0.1:80", "127.0.0.1:81", false, false},
		{"tcp", "127.0.0.1:80", ":80", false, false},
		{"udp", "[::]:80", ":80", true, false},
		{"unix", "/run/x", "/run/x", false, true},
		{"unix", "@x", "@x", false, true},
		{"unix", "/run/x", ":80", false, false},
	} {
		if got := listensAt(wire.Listener{Network: c.network, Bound: c.bound, Packet: c.packet}, c.address); got != c.want {
			t.Errorf("a %s socket at %s for %s: %v", c.network, c.bound, c.address, got)
		}
	}
}

func TestNamesOfSocketsAreAllowedOnes(t *testing.T) {
	got := names([]holding{{spec: wire.Listener{Address: "127.0.0.1:80"}}, {spec: wire.Listener{Address: "/run/a b"}}})
	if want := "127.0.0.1_80:/run/a_b"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestDescentIsByLivingParents(t *testing.T) {
	self, above := os.Getpid(), os.Getppid()
	if !descends(self, self) || !descends(self, above) || descends(above, self) || descends(0, self) || descends(self, 0) {
		t.Errorf("process %d, parent %d", self, above)
	}
}
