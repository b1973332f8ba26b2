package handovertest

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// askAgain is the pause between two questions to a service that is not ready:
// nothing tells a test that a port begins to be listened on.
const askAgain = 5 * time.Millisecond

// answering waits until a process other than before answers.
func (r *Running) answering(ctx context.Context, before int) (int, error) {
	var last error
	for {
		pid, err := r.service.Who(ctx)
		if err == nil && pid != before {
			return pid, nil
		}
		if last = err; err == nil {
			last = fmt.Errorf("pid %d still answers", before)
		}
		select {
		case <-r.output.ended:
			return 0, fmt.Errorf("every process has ended: %w", last)
		case <-ctx.Done():
			return 0, fmt.Errorf("%w: %w", ctx.Err(), last)
		case <-time.After(askAgain):
		}
	}
}

// who asks Handler on a new connection.
func who(ctx context.Context, network, address string) (int, error) {
	l := Load{Network: network, Address: address}.withDefaults()
	if deadline, ok := ctx.Deadline(); ok {
		l.Timeout = time.Until(deadline)
	}
	if l.Timeout <= 0 {
		return 0, context.DeadlineExceeded
	}
	c, err := dial(&l, nil)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	id := "who-" + strconv.FormatInt(time.Now().UnixNano(), 36)
	if err := c.write(fmt.Appendf(nil, "GET /?id=%s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", id, l.Host)); err != nil {
		return 0, err
	}
	resp, body, err := c.answer(0)
	if err != nil {
		return 0, err
	}
	answer, err := verifyLine(id, resp, body)
	if err == nil && (answer.ID != id || answer.PID == 0) {
		err = errors.New("the answer does not say who")
	}
	return answer.PID, err
}
