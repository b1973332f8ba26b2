package observe_test

import (
	"strings"
	"testing"

	"github.com/handover-go/handover/host/observe"
)

func TestChecksNameEverythingThatIsWrong(t *testing.T) {
	at := observe.Where{Address: "127.0.0.1:80"}
	for _, c := range []struct {
		check interface{ Validate() error }
		want  []string
	}{
		{observe.HTTP{}, []string{"Name: ", "Address: "}},
		{observe.HTTP{Name: "x", Where: observe.Where{Network: "udp", Address: "a:1"}}, []string{`Network: "udp"`}},
		{observe.HTTP{Name: "x", Where: observe.Where{Address: "nowhere"}}, []string{"Address: address nowhere: missing port"}},
		{observe.HTTP{Name: "x", Where: at, Path: "a", Host: "a/b", Statuses: []int{99}, Timeout: -1}, []string{`Path: "a"`, `Host: "a/b"`, "Statuses: 99", "Timeout: -1ns"}},
		{observe.GRPC{Host: "a b"}, []string{"Name: ", "Address: ", `Host: "a b"`}},
		{observe.TCP{Name: "x", Where: at, Expect: strings.Repeat("x", 5000)}, []string{"Expect: 5000 bytes"}},
		{observe.Exec{Dir: "here", Env: []string{"A"}}, []string{"Name: ", "Argv: ", `Dir: "here"`, `Env: "A"`}},
	} {
		err := c.check.Validate()
		if err == nil {
			t.Errorf("%+v: nothing is wrong", c.check)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("nobody says %q: %v", want, err)
			}
		}
		if got := strings.Count(err.Error(), "\n") + 1; got != len(c.want) {
			t.Errorf("%d things are wrong, want %d: %v", got, len(c.want), err)
		}
	}
}
