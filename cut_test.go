package handover

import (
	"fmt"
	"testing"
)

func TestKindOfAConnectionIsWhatItIsDoing(t *testing.T) {
	h2c := func(p phase) *conn { return &conn{phase: p, begun: len(http2Preface), bound: true} }
	for want, c := range map[string]*conn{
		"http1_active": {phase: active}, "http1_idle": {phase: idle, begun: len(http2Preface)},
		"tls_active": {phase: active, inflow: inflow{secure: true}}, "tls_idle": {phase: fresh, inflow: inflow{secure: true}},
		"http2_active": {phase: active, inflow: inflow{secure: true, http2: true}}, "http2_idle": h2c(idle),
		"hijacked": {phase: hijacked, inflow: inflow{secure: true}}, "own": {},
	} {
		if got := kindNames[c.kind()]; got != want {
			t.Errorf("%s is counted as %s", want, got)
		}
	}
	counted := cuts{http2Idle: 2, own: 1}
	if got := fmt.Sprint(counted.total(), counted.attributes()); got != "3 [http2_idle=2 own=1]" {
		t.Errorf("counted %s", got)
	}
}
