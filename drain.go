package handover

import "context"

// expiringKey finds, in a request's context, the one that ends when connections are about to be cut.
type expiringKey struct{}

// WithDrainDeadline returns a copy of ctx, the context of a request, that ends with the cause [ErrDraining] when this
// generation is about to cut what it has not finished: one second before Config.DrainTimeout (or Config.StopTimeout, where nobody
// serves afterwards) is over, or a tenth of it if that is less. That is time for the last event of a stream, or a trailer.
//
// The context of the request itself does not end then: many a handler returns when it does, as nobody listens any more, and
// half an answer, or none, would look whole. Outside servers that Attach knows the copy ends as ctx does. The function returned
// is to be called when the handler ends, as that of [context.WithCancel].
func WithDrainDeadline(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	expiring, ok := ctx.Value(expiringKey{}).(context.Context)
	if !ok {
		return ctx, func() { cancel(nil) }
	}
	stop := context.AfterFunc(expiring, func() { cancel(ErrDraining) })
	return ctx, func() {
		stop()
		cancel(nil)
	}
}
