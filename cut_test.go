package handover

import (
	"fmt"
	"testing"

	"github.com/handover-go/handover/internal/idle"
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
		{"http1_active", &conn{point: idle.Point{Phase: idle.Active}}}, {"http1_idle", began("GET", &conn{point: idle.Point{Phase: idle.Idle}})},
		{"http1_idle", began("GET", &conn{point: idle.Point{Phase: idle.Idle}, bound: true})}, // no other generation takes it
		{"tls_active", &conn{point: idle.Point{Phase: idle.Active}, inflow: inflow{secure: true}}}, {"tls_idle", &conn{point: idle.Point{Phase: idle.Fresh}, inflow: inflow{secure: true}}},
		{"http2_active", &conn{point: idle.Point{Phase: idle.Active}, inflow: inflow{secure: true, http2: true}}}, {"http2_idle", began("PRI", &conn{point: idle.Point{Phase: idle.Idle}})},
		{"hijacked", &conn{point: idle.Point{Phase: idle.Hijacked}, inflow: inflow{secure: true}}}, {"own", &conn{}},
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
