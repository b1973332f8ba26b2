//go:build linux

package livetls

import (
	"slices"
	"testing"
	"time"

	"github.com/handover-go/handover/test/internal/client"
)

// TestConnectionMovesBehindRecordsThatBroughtNothing: it is idle as it was before they came. A KeyUpdate that the client wants is answered once, before what is
// said next, by whoever says it; and all goes on with the secrets that there are then. Guard: conn.Read, "c.Conn.ReadRecord(p)"; without it the connection is cut at
// the drain deadline.
func TestConnectionMovesBehindRecordsThatBroughtNothing(t *testing.T) {
	t.Parallel()
	s := start(t, "HANDOVER_DRAIN_TIMEOUT=5s")
	before := s.PID()
	asks := func(c *sealer) []byte { return c.data(client.Request("/?id=who")) }
	type talker struct {
		*sealer
		answers int // KeyUpdates that it wants, by now
	}
	talkers := map[string]*talker{}
	for of, test := range map[string]struct {
		asked   func(c *sealer) []byte // with a request, answered before the move; nil: none
		idle    func(c *sealer) []byte
		answers int
	}{
		"an empty record":       {nil, func(c *sealer) []byte { return c.data("") }, 0},
		"as many as may be":     {nil, func(c *sealer) []byte { return slices.Concat(repeat(16, func() []byte { return c.data("") })...) }, 0},
		"a KeyUpdate":           {nil, func(c *sealer) []byte { return c.update(keyUpdate) }, 0},
		"one that is answered":  {nil, func(c *sealer) []byte { return c.update(keyUpdateAsked) }, 1},
		"several, answered":     {nil, func(c *sealer) []byte { return append(c.update(keyUpdateAsked), c.update(keyUpdateAsked)...) }, 1},
		"answered just before":  {func(c *sealer) []byte { return append(c.update(keyUpdateAsked), asks(c)...) }, func(*sealer) []byte { return nil }, 1},
		"and once more":         {func(c *sealer) []byte { return append(c.update(keyUpdateAsked), asks(c)...) }, func(c *sealer) []byte { return c.update(keyUpdateAsked) }, 2},
		"one that came too":     {func(c *sealer) []byte { return append(asks(c), c.update(keyUpdate)...) }, func(*sealer) []byte { return nil }, 0},
		"answered, it came too": {func(c *sealer) []byte { return append(asks(c), c.update(keyUpdateAsked)...) }, func(c *sealer) []byte { return nil }, 1},
	} {
		c := s.seals(before)
		c.T = named{t, of}
		c.goesOn()
		if test.asked != nil {
			c.sends(test.asked(c))
			c.AnswerTo("who", before)
		}
		c.sends(test.idle(c))
		talkers[of] = &talker{c, test.answers}
	}
	for _, c := range talkers {
		c.saysNothing(20 * time.Millisecond) // and what it has sent has been read
	}
	after := s.Replaced()
	for range 2 {
		for of, c := range talkers {
			c.sends(asks(c.sealer))
			c.AnswerTo("who", after)
			if c.updates != c.answers {
				t.Errorf("%s: %d KeyUpdates are heard; want %d", of, c.updates, c.answers)
			}
		}
	}
}
