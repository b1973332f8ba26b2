// Package livetls has HTTPS connections live on: a connection of HTTP/1.1 over TLS 1.3 goes on in the next generation of the service, with
// the keys that it has, and its client notices nothing. One line turns it on:
//
//	p, err := handover.New(ctx, handover.Config{TLSListener: livetls.Listener})
//
// Servers are attached by [handover.Process.AttachTLS] as without it. What cannot move, see [Figures], is drained, as without it. Sessions of a
// program's own ([handover.Process.Sessions]) move with the connection on which they stand, be it one that a handler has hijacked, as of a WebSocket,
// or one that [Listen] has accepted.
//
// docs/tls.md has the design, and why it is safe.
package livetls
