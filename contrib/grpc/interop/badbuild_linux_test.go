package interop

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/handover-go/handover/handovertest"
)

func TestBuildThatExitsCostsNothing(t *testing.T) {
	s := start(t)
	incumbent := s.PID()
	l, talk, watcher := s.drive(), s.talk(s.connect()), s.watch(s.connect())
	watcher.wants(serving)
	bad := filepath.Join(t.TempDir(), "bad")
	if err := os.WriteFile(bad, []byte("#!/bin/sh\nexit 1\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	s.Swap(bad)
	for range 5 {
		talk.exchange(10)
		end := s.says(aborted)
		s.Signal(incumbent, syscall.SIGUSR2)
		s.line(end)
	}
	talk.exchange(10)
	talk.end(incumbent)

	s.Swap(handovertest.Build(t, "./service"))
	s.Upgrade(1)
	l.answered()
	watcher.wants(notServing)
	watcher.cancel()
	l.stop(2)
}

// A build that fails while it serves on probation, but lives, gives its clients back.
func TestBuildThatIsTakenBackCostsNothing(t *testing.T) {
	s := start(t, "HANDOVER_PROBATION=1m")
	incumbent := s.PID()
	l, talk, watcher := s.drive(), s.talk(s.connect()), s.watch(s.connect())
	watcher.wants(serving)
	talk.exchange(10)

	successor := s.prove(incumbent)
	client := s.connect()
	s.answered(client, successor)
	theirs := s.talk(client)
	theirs.exchange(10)
	end := s.says(resumed)
	if err := s.tell(client, "fail"); err != nil {
		t.Fatal(err)
	}
	s.line(end)
	s.leaves(client)
	s.answered(client, incumbent)
	theirs.exchange(10)
	theirs.end(successor)
	talk.exchange(10)
	talk.end(incumbent)
	s.AwaitExit(successor)

	watcher.hearsNothing()
	l.stop(1)
}

func TestBuildThatCrashesOnProbationCostsWhatItHadAccepted(t *testing.T) {
	s := start(t, "HANDOVER_PROBATION=1m")
	incumbent := s.PID()
	l, talk := s.drive("-new=false"), s.talk(s.connect())
	talk.exchange(10)

	client := s.connect()
	s.answered(client, incumbent)
	successor := s.prove(incumbent)
	theirs := s.connect()
	s.answered(theirs, successor)
	end := s.says(resumed)
	if err := s.tell(theirs, "crash"); status.Code(err) != codes.Unavailable {
		t.Errorf("the call that crashed ended with %v, want %v", err, codes.Unavailable)
	}
	s.line(end)
	s.answered(client, incumbent)
	s.answered(theirs, incumbent)
	talk.exchange(10)
	talk.end(incumbent)
	l.stop(1)
}

// prove upgrades the service, and returns the successor, which serves on probation.
func (s *service) prove(incumbent int) (successor int) {
	s.t.Helper()
	onProbation := s.says(proving)
	s.Signal(incumbent, syscall.SIGUSR2)
	s.line(onProbation)
	if successor = s.PID(); successor == incumbent {
		s.t.Fatal("the incumbent answers while the successor proves itself")
	}
	return successor
}

// tell makes a call that has consequences.
func (s *service) tell(cc *grpc.ClientConn, what string) error {
	ctx := metadata.AppendToOutgoingContext(s.ctx, what, "yes")
	_, err := testgrpc.NewTestServiceClient(cc).EmptyCall(ctx, &testgrpc.Empty{})
	return err
}
