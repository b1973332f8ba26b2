//go:build linux

package traffic

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/handover-go/handover/test/internal/journal"
)

// many is how many sessions follow in one upgrade.
const many = 5000

// TestFiveThousandSessionsFollowInOneUpgrade while some of them ask all the time: tells how many move in a second, and for how long one
// stands still.
func TestFiveThousandSessionsFollowInOneUpgrade(t *testing.T) {
	s := startSessions(t)
	all := make([]*session, many)
	for i := range all {
		all[i] = dialSession(t, "unix", s.unix)
		all[i].say("first of %d", i)
	}
	s.manyFollow(func(i int) error { return asks(all[i]) }, func(i int) int { return all[i].who() })
}

// TestFiveThousandWebSocketsFollowInOneUpgrade is the same with a client that is not ours.
func TestFiveThousandWebSocketsFollowInOneUpgrade(t *testing.T) {
	s := start(t)
	type client struct {
		*websocket.Conn
		count int
	}
	all := make([]*client, many)
	ask := func(i int, message string) (answer string, err error) {
		ctx, cancel := context.WithTimeout(s.Ctx, patience)
		defer cancel()
		c := all[i]
		if err := c.Write(ctx, websocket.MessageText, []byte(message)); err != nil {
			return "", err
		}
		_, b, err := c.Read(ctx)
		if err != nil {
			return "", err
		}
		c.count++
		count, answer, _ := strings.Cut(string(b), " ")
		if count != strconv.Itoa(c.count) {
			return "", fmt.Errorf("answer %q; want the count %d", b, c.count)
		}
		return answer, nil
	}
	for i := range all {
		c, _, err := websocket.Dial(s.Ctx, "ws://"+s.address+"/ws", nil)
		if err != nil {
			t.Fatal(err)
		}
		defer c.CloseNow()
		all[i] = &client{c, 0}
		if _, err := ask(i, "first"); err != nil {
			t.Fatal(err)
		}
	}
	s.manyFollow(func(i int) error {
		answer, err := ask(i, "line")
		if err == nil && answer != "line" {
			err = fmt.Errorf("answer %q", answer)
		}
		return err
	}, func(i int) int {
		answer, err := ask(i, "who")
		if err != nil {
			t.Fatal(err)
		}
		pid, _ := strconv.Atoi(answer)
		return pid
	})
}

// manyFollow upgrades once while sessions are asked in turn.
func (s *service) manyFollow(ask func(i int) error, who func(i int) (pid int)) {
	s.t.Helper()
	const askers = 10
	first := s.PID()
	began, ended := s.WatchFor(`msg="handover final"`), s.WatchFor(`msg="draining generation has finished"`)
	var over atomic.Bool
	var asking sync.WaitGroup
	var mu sync.Mutex
	var waits []time.Duration
	for i := range askers {
		asking.Go(func() {
			tick := time.NewTicker(2 * time.Millisecond)
			defer tick.Stop()
			for at := i; !over.Load(); at += askers {
				asked := time.Now()
				if err := ask(at % many); err != nil {
					s.t.Error(err)
					return
				}
				mu.Lock()
				waits = append(waits, time.Since(asked))
				mu.Unlock()
				<-tick.C
			}
		})
	}
	second := s.Next()
	from := journal.Written(s.t, s.Line(began, "no handover"))
	took := journal.Written(s.t, s.Line(ended, "the first generation is not drained")).Sub(from)
	over.Store(true)
	asking.Wait()
	s.AwaitExit(first)
	for i := range many {
		if pid := who(i); pid != second {
			s.t.Fatalf("the session is served by process %d; want %d", pid, second)
		}
	}
	slices.Sort(waits)
	s.t.Logf("%d sessions in %s: %.0f a second; of %d answers meanwhile the median took %s, the slowest %s", many, took,
		float64(many)/took.Seconds(), len(waits), waits[len(waits)/2], waits[len(waits)-1])
}
