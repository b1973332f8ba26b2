package keeper

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
)

func TestLimitsAreRead(t *testing.T) {
	for text, want := range map[string]Limit{
		"nofile=1024:4096":               {"nofile", 1024, 4096},
		"nproc=7":                        {"nproc", 7, 7},
		"core=0:unlimited":               {"core", 0, Unlimited},
		"as=unlimited":                   {"as", Unlimited, Unlimited},
		"memlock=unlimited:70":           {},
		"nofile=2:1":                     {},
		"nofile":                         {},
		"nofile=":                        {},
		"nofile=1:":                      {},
		"nofile=-1":                      {},
		"NOFILE=1":                       {},
		"files=1":                        {},
		"nofile=1:2:3":                   {},
		"nofile=99999999999999999999999": {},
	} {
		got, err := ParseLimit(text)
		if got != want || (err == nil) != (want != Limit{}) {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
		if err != nil {
			if !strings.Contains(err.Error(), text) {
				t.Errorf("%q: the error does not name it: %v", text, err)
			}
			continue
		}
		if again, err := ParseLimit(got.String()); again != got || err != nil {
			t.Errorf("%q comes back as %q, %v", text, again, err)
		}
	}
}

func TestLimitsNeedBecome(t *testing.T) {
	called := becomes.Swap(false)
	defer becomes.Store(called)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	k, err := New(context.Background(), Config{
		Command: self, Name: "limited", Limits: []Limit{{"core", 0, 0}}, RuntimeDir: t.TempDir() + "/run", StateDir: t.TempDir() + "/state",
	})
	if k != nil || !errors.Is(err, errBecome) {
		t.Errorf("%v, want %v", err, errBecome)
	}
}
