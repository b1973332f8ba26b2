package platform

import (
	"context"
	"errors"
	"os"
	"time"
)

// interruptible runs op, which waits in the poller for f, and makes the end of ctx end it. Nothing else may use f's
// deadlines meanwhile; they are cleared afterwards. The callback is waited for, so it never hits a later use of f.
func interruptible(ctx context.Context, f *os.File, op func() error) error {
	interrupted := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		_ = f.SetDeadline(time.Unix(1, 0)) // fails only when f is closed, which ends op as well
		close(interrupted)
	})
	err := op()
	if stop() {
		return err
	}
	<-interrupted
	_ = f.SetDeadline(time.Time{})
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return ctx.Err()
	}
	return err
}
