// Package strict is a second load driver, written to the same rules as handovertest's and independently of it, so that what
// one of them overlooks the other sees. It speaks HTTP/1.1 over plain TCP by itself: nothing below it retries, reconnects or
// forgives.
//
// The rules. No request is sent twice. Before a client writes on a connection that was idle it looks for the server's FIN
// or RST: one that is there counts as closed, and so does "Connection: close" in an answer. Whatever goes wrong from the
// first byte of a request on counts as failed, and so do a refused connection, an answer that is not exactly the one to the
// request, bytes that nobody asked for, and an operation that takes longer than 20 seconds.
package strict
