package handovertest_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"time"

	"github.com/handover-go/handover/handovertest"
)

func ExampleDrive() {
	server := httptest.NewServer(handovertest.Handler())
	defer server.Close()

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	load, err := handovertest.Drive(ctx, handovertest.Load{
		Address: server.Listener.Addr().String(),
		Clients: handovertest.Clients{KeepAlive: 2, New: 1, Idle: 1},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := load.WaitAnswers(ctx, 20); err != nil {
		fmt.Println(err)
	}
	report := load.Stop()
	fmt.Println("lost:", report.Lost(), "closed politely:", report.ClosedPolite)
	// Output: lost: 0 closed politely: 0
}
