package handover

import (
	"net"
	"net/http"
)

// departure asks the clients of connections that will not follow to make a new one for their next request.
type departure struct {
	server *server
	next   http.Handler
}

func (d *departure) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	last, staying := d.last(r)
	if last {
		w.Header().Set("Connection", "close") // in an answer over HTTP/2 net/http makes GOAWAY of it
	}
	if d.server.counts.on() {
		d.server.counts.serve(d.next, w, r)
	} else {
		d.next.ServeHTTP(w, r)
	}
	if staying != nil {
		staying.served(r)
	}
}

// last reports whether r is to be the last request on its connection; if not, on which connection its client may yet be asked to leave.
func (d *departure) last(r *http.Request) (last bool, staying *conn) {
	mode := d.server.sockets.mode.Load()
	if mode == modeStay {
		return false, nil
	}
	c, ok := r.Context().Value(connKey{}).(*conn)
	switch {
	case ok && r.ProtoMajor != 1 && d.server.shadow != nil:
		return d.server.http2.over(c), nil // until then the client is told without refusing it anything
	case !ok || mode == modeRetire || r.ProtoMajor != 1:
		return true, nil
	case mode == modeFollow && c.follows():
		return false, nil
	case c.alone(r):
		return true, nil
	default:
		return false, c
	}
}

// accepted returns the connection of ours that c is, or that it stands on, as one of TLS does.
func accepted(c net.Conn) (*conn, bool) {
	for {
		switch above := c.(type) {
		case *conn:
			return above, true
		case *Session:
			return above.own, above.own != nil
		case interface{ NetConn() net.Conn }:
			c = above.NetConn()
		default:
			return nil, false
		}
	}
}
