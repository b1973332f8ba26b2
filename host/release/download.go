package release

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"time"
)

// A conversation in which no byte came for stall is given up. After maxFailures in a row without a byte, so is the artifact.
const (
	stall       = 30 * time.Second
	maxFailures = 5
	firstPause  = 100 * time.Millisecond
	longPause   = 5 * time.Second
)

// final is an error that asking again will not mend.
type final struct{ error }

func (f final) Unwrap() error { return f.error }

// again tries until it succeeds, fails for good, or fails too often in a row. Each attempt may take as long as limit, 0 for ever. try says
// whether it came further.
func again(ctx context.Context, limit time.Duration, try func(context.Context) (further bool, err error)) error {
	pause := firstPause
	for failures := 0; ; {
		further, err := attempt(ctx, limit, try)
		if err == nil || errors.As(err, new(final)) || errors.Is(err, ErrRefused) || ctx.Err() != nil {
			return err
		}
		if further {
			failures, pause = 0, firstPause
		}
		if failures++; failures >= maxFailures {
			return fmt.Errorf("tried %d times: %w", failures, err)
		}
		wait := time.NewTimer(pause)
		select {
		case <-wait.C:
		case <-ctx.Done():
			wait.Stop()
			return ctx.Err()
		}
		pause = min(2*pause, longPause)
	}
}

// attempt ends what try began, whatever came of it.
func attempt(ctx context.Context, limit time.Duration, try func(context.Context) (bool, error)) (bool, error) {
	if limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	return try(ctx)
}

// download writes the payload to a file, as many bytes as there must be, and makes sure that they have this digest.
type download struct {
	payload payload
	to      *os.File
	size    int64
	sum     string
	report  func(bytes int64) // may be nil

	have int64     // bytes that came
	most int64     // that ever came: who begins anew has not come further before that
	hash hash.Hash // of those that came
}

// run returns when all of it is there. Errors wrap ErrDigest if it is not what it must be.
func (d *download) run(ctx context.Context) error {
	if err := again(ctx, 0, d.converse); err != nil {
		return err
	}
	if sum := hex.EncodeToString(d.hash.Sum(nil)); sum != d.sum {
		return fmt.Errorf("%w: SHA-256 %s…, the manifest says %s…", ErrDigest, brief(sum), brief(d.sum))
	}
	return nil
}

// converse reads on from what is there, until the end or until the conversation breaks off.
func (d *download) converse(ctx context.Context) (further bool, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watch := time.AfterFunc(headerTimeout+stall, func() { cancel(fmt.Errorf("no byte came for %s", stall)) })
	defer watch.Stop()
	defer func() {
		further, d.most = d.have > d.most, max(d.have, d.most)
		if err != nil && ctx.Err() != nil {
			err = context.Cause(ctx) // rather than what came of it
		}
	}()
	r, at, err := d.payload.open(ctx, d.have)
	if err != nil {
		return false, err
	}
	defer r.Close()
	if d.hash == nil || at != d.have { // it begins, or begins anew
		d.hash, d.have = sha256.New(), at
		if err := d.to.Truncate(at); err != nil {
			return false, final{full(err)}
		}
	}
	if _, err := d.to.Seek(d.have, io.SeekStart); err != nil {
		return false, final{err}
	}
	return false, d.read(ctx, r, watch)
}

// read takes what comes until the end.
func (d *download) read(ctx context.Context, r io.Reader, watch *time.Timer) error {
	buffer := make([]byte, 128<<10)
	for ctx.Err() == nil { // which a file of this host does not look at
		n, err := r.Read(buffer)
		if n > 0 {
			watch.Reset(stall)
			if err := d.take(buffer[:n]); err != nil {
				return err
			}
		}
		ended := err == io.EOF // one that is wrapped is a connection that broke off
		switch {
		case ended && d.have < d.size:
			return fmt.Errorf("%w: it ends after %d of %d bytes", ErrDigest, d.have, d.size)
		case ended:
			return nil
		case err != nil:
			return err
		}
	}
	return ctx.Err()
}

// take writes what came.
func (d *download) take(p []byte) error {
	if d.have += int64(len(p)); d.have > d.size {
		return fmt.Errorf("%w: it has more than the %d bytes that the manifest says", ErrDigest, d.size)
	}
	d.hash.Write(p)
	if _, err := d.to.Write(p); err != nil {
		return final{full(err)}
	}
	if d.report != nil {
		d.report(d.have)
	}
	return nil
}
