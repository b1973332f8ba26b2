package handover

import (
	"fmt"
	"testing"
)

func TestKindOfAConnectionIsWhatItIsDoing(t *testing.T) {
	began := func(with string, c *conn) *conn {
		c.soundLocked([]byte(with))
		return c
	}
	for _, c := range []struct {
		want string
		*conn
	}{
		{"http1_active", &conn{phase: active}}, {"http1_idle", began("GET", &conn{phase: idle})},
		{"http1_idle", began("GET", &conn{phase: idle, bound: true})}, // no other generation takes it
		{"tls_active", &conn{phase: active, inflow: inflow{secure: true}}}, {"tls_idle", &conn{phase: fresh, inflow: inflow{secure: true}}},
		{"http2_active", &conn{phase: active, inflow: inflow{secure: true, http2: true}}}, {"http2_idle", began("PRI", &conn{phase: idle})},
		{"hijacked", &conn{phase: hijacked, inflow: inflow{secure: true}}}, {"own", &conn{}},
	} {
		if got := kindNames[c.kind()]; got != c.want {
			t.Errorf("%s is counted as %s", c.want, got)
		}
	}
	counted := cuts{http2Idle: 2, own: 1}
	if got := fmt.Sprint(counted.total(), counted.attributes()); got != "3 [http2_idle=2 own=1]" {
		t.Errorf("counted %s", got)
	}
}
