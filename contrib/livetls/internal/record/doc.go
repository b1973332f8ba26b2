// Package record is the record layer of TLS 1.3 (RFC 8446, section 5) for the server's side of a connection whose handshake is over.
//
// crypto/tls shakes hands; from then on a [Conn] serves the connection, with the application traffic secrets and the sequence numbers
// that the handshake ended with. As those few bytes are all that there is to it, [Conn.Detach] can take them out between any two reads,
// and [Continue], in another process, goes on with them: the client notices nothing.
//
// Two processes that sealed with one secret and number would give the key away. A Conn therefore never seals a number twice, is
// never detached after a write that failed, and has nothing left to seal with once it was detached; that the bytes it has given away
// are used once is the caller's to see to.
package record
