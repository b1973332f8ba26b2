package scenario

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/handover-go/handover/bench/subject"
)

// Messages of the library's log that are waited for.
const (
	begins    = "handover begins: the successor is started"
	probation = "serving on probation"
	resumed   = "successor taken back: this generation serves again"
	final     = "handover final"
	aborted   = "handover aborted: this generation serves on"
	finished  = "draining generation has finished"
	noBegin   = "upgrade signal: no handover begins"
)

// event is a line of the library's log.
type event struct {
	Time    time.Time `json:"time"`
	Message string    `json:"msg"`
	PID     int       `json:"pid"`
}

// follow returns the events of a service from now on. It drops them when nobody takes them.
func follow(running *subject.Running) <-chan event {
	events := make(chan event, 1000)
	running.Log.Watch(func(line string) {
		var e event
		if json.Unmarshal([]byte(line), &e) != nil {
			return
		}
		select {
		case events <- e:
		default:
		}
	})
	return events
}

// eventPatience bounds the wait for an event.
const eventPatience = 10 * time.Second

// await takes events up to the one with that message.
func await(ctx context.Context, events <-chan event, message string) (event, error) {
	timeout := time.NewTimer(eventPatience)
	defer timeout.Stop()
	for {
		select {
		case e := <-events:
			if e.Message == message {
				return e, nil
			}
		case <-timeout.C:
			return event{}, fmt.Errorf("the service does not say %q", message)
		case <-ctx.Done():
			return event{}, ctx.Err()
		}
	}
}
