package keeper

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/handover-go/handover/internal/wire"
)

// FuzzSaved has the keeper before this one write anything. What is understood means the same when it is written again.
func FuzzSaved(f *testing.F) {
	const service = "web"
	listener := savedHolding{Spec: wire.Listener{Network: "tcp", Address: ":80", Bound: "[::]:80"}, FD: 7}
	build := savedStock{Digest: strings.Repeat("0", 64), Origin: "/srv/web", Held: -1, Size: 1 << 20, ModTime: time.Unix(1, 0).UTC(), Script: true, Dir: "/srv/web/2", Label: "web/2", Manner: &manner{Args: []string{"-v"}, Env: []string{"PORT=1"}, Limits: []Limit{{"nofile", 1, 2}}, Dir: "/srv"}}
	for _, s := range []*saved{
		{Version: savedVersion, Name: service, Takeover: 3, Client: -1, Incumbent: -1},
		{
			Version: savedVersion, Name: service, Takeover: 3, Client: 4, Incumbent: 0, Highest: 2, Attempts: 1, Requests: 9, Deaths: 1,
			Restarts: 1, Last: "exit status 1", Ended: &wire.Reply{Attempt: 1, Outcome: "final"}, Running: build, Previous: build, Started: time.Unix(1, 0).UTC(), Spare: []savedHolding{listener},
			Generations: []savedGeneration{{
				Child: true, Output: "/var/log/web/1.log", Pidfd: 5, Link: 6, Rest: []byte{0xff}, Number: 2, Name: wire.Build{Path: "example.com/web"},
				Standing: wire.State{State: "serving", Generation: 2}, Since: time.Unix(1, 0).UTC(), Build: build, Held: []savedHolding{listener},
			}},
		},
		{Version: savedVersion + 1, Name: service},
		{Version: savedVersion, Name: "mail"},
	} {
		b, err := json.Marshal(s)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte(`{"Version":1,"Name":"web","Generations":[{"Rest":"not base64"}]}`))
	f.Add([]byte(`{"Version":1,"Name":"web","Attempts":-1}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := decodeSaved(bytes.NewReader(b), service)
		if err != nil {
			if !strings.Contains(err.Error(), "the keeper before this one") {
				t.Fatalf("the error does not name what was read: %v", err)
			}
			return
		}
		first, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		again, err := decodeSaved(bytes.NewReader(first), service)
		if err != nil {
			t.Fatalf("decode %s: %v", first, err)
		}
		second, err := json.Marshal(again)
		if err != nil || !bytes.Equal(first, second) {
			t.Fatalf("%s came back as %s, %v", first, second, err)
		}
	})
}

// FuzzNotice has a service say anything to its manager. Lines mean what they mean wherever they stand.
func FuzzNotice(f *testing.F) {
	for _, message := range []string{
		"READY=1", "READY=1\nSTATUS=serving\nMAINPID=1", "STOPPING=1\n", "READY=0\nSTATUS=", "READY=1\r\n", "STATUS=a=b\nSTATUS=c", "\n\n=\n", "BARRIER=1",
	} {
		f.Add(message)
	}
	f.Fuzz(func(t *testing.T, message string) {
		n := parseNotice(message)
		if strings.Contains(n.status, "\n") || len(n.status) > len(message) {
			t.Fatalf("status %q of %q", n.status, message)
		}
		if twice := parseNotice(message + "\n" + message); !reflect.DeepEqual(n, twice) {
			t.Fatalf("%q means %+v, and twice %+v", message, n, twice)
		}
		if n.ready && !strings.Contains(message, "READY=1") || n.stopping && !strings.Contains(message, "STOPPING=1") {
			t.Fatalf("%q means %+v", message, n)
		}
	})
}
