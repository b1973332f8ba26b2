package examples_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/handover-go/handover/handovertest"
)

func TestGRPCLosesNothing(t *testing.T) {
	address := handovertest.FreeAddress(t)
	service := startWho(t, "./grpc", address, func(ctx context.Context) (int, error) {
		client, err := connect(address)
		if err != nil {
			return 0, err
		}
		defer client.Close()
		_, pid, err := ask(ctx, client)
		return pid, err
	})
	client, err := connect(address)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()

	ctx, stop := context.WithCancel(t.Context())
	var calls sync.WaitGroup
	var generations []int
	second := make(chan struct{}) // an answer of generation 2: the client may leave late, and one that serves no more is passed over
	calls.Go(func() {
		ticks := time.NewTicker(5 * time.Millisecond)
		defer ticks.Stop()
		for ctx.Err() == nil {
			generation, _, err := ask(t.Context(), client)
			if err != nil {
				t.Errorf("call failed: %v", err)
				return
			}
			if generation == 2 && !slices.Contains(generations, 2) {
				close(second)
			}
			generations = append(generations, generation)
			<-ticks.C
		}
	})
	service.Upgrade(1)
	select {
	case <-second:
		service.Upgrade(1)
	case <-time.After(patience):
		t.Error("no answer by generation 2")
	}
	stop()
	calls.Wait()
	// The last generation was handed the service, but the client may not have been told to leave the one before.
	if !slices.IsSorted(generations) || !slices.Contains(generations, 1) || !slices.Contains(generations, 2) {
		t.Errorf("answers by generations %v, want 1, 2 and perhaps 3 in this order", slices.Compact(generations))
	}
}

func connect(address string) (*grpc.ClientConn, error) {
	return grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
}

// ask calls the example's only method.
func ask(ctx context.Context, client *grpc.ClientConn) (generation, pid int, err error) {
	var answer wrapperspb.StringValue
	if err := client.Invoke(ctx, "/example.Who/Ask", &emptypb.Empty{}, &answer); err != nil {
		return 0, 0, err
	}
	_, err = fmt.Sscanf(answer.GetValue(), "generation %d pid %d", &generation, &pid)
	return generation, pid, err
}
