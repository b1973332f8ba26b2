package service_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/handover-go/handover/host/service"
	"github.com/handover-go/handover/internal/wire"
)

func TestVoteEndsTheHandoverThatIsWaitedFor(t *testing.T) {
	for verdict, want := range map[string]error{wire.VotePass: nil, wire.VotePromote: nil, wire.VoteFail: service.ErrResumed} {
		for name, wait := range map[string]func(*service.Client, func(service.State)) (service.Result, error){
			"upgrade": func(c *service.Client, watch func(service.State)) (service.Result, error) {
				return c.Upgrade(t.Context(), service.Request{}, watch)
			},
			"follow": func(c *service.Client, watch func(service.State)) (service.Result, error) {
				return c.Follow(t.Context(), watch)
			},
		} {
			c, fake := begin(t, "held")
			probation, voted := make(chan struct{}), make(chan error, 1)
			go func() {
				<-probation
				voted <- errors.Join(c.Vote(wire.VoteHold, "to be looked at"), c.Vote(verdict, "seen"))
			}()
			r, err := wait(c, func(s service.State) {
				if s.State == "probation" {
					close(probation)
				}
			})
			if !errors.Is(err, want) || r.Attempt != 8 {
				t.Errorf("%s, %s: %+v, %v", name, verdict, r, err)
			}
			if err := <-voted; err != nil {
				t.Errorf("%s, %s: %v", name, verdict, err)
			}
			if got := fake.Votes(); !slices.Equal(got, []wire.Vote{{Verdict: wire.VoteHold, Reason: "to be looked at"}, {Verdict: verdict, Reason: "seen"}}) {
				t.Errorf("%s: votes %+v", name, got)
			}
		}
	}
}

func TestVerdictThatIsUnknownIsNotSaid(t *testing.T) {
	c, fake := begin(t, "final")
	if err := c.Vote("perhaps", ""); !errors.Is(err, service.ErrUnsupported) || len(fake.Votes()) != 0 {
		t.Error(err)
	}
}

func TestServiceThatCannotBeFollowedIsUnsupported(t *testing.T) {
	c, _ := begin(t, "starting") // it answers with its status, as older ones do
	if _, err := c.Follow(t.Context(), nil); !errors.Is(err, service.ErrUnsupported) {
		t.Error(err)
	}
}

func TestFiguresAreThoseOfEveryGeneration(t *testing.T) {
	c, _ := begin(t, "final")
	if all, err := c.Stats(t.Context()); err != nil || len(all) != 1 || all[0].PID == 0 {
		t.Errorf("%+v, %v", all, err)
	}
}
