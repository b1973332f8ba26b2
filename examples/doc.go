// Package examples holds runnable services, each the smallest that shows its point:
//
//	dropin   one line, where http.ListenAndServe stood
//	http     net/http, with the four calls that the one line stands for
//	gin      the same for a Gin engine
//	https    HTTPS, whose connections live on in the next generation
//	workers  background work, done by one generation at a time
//	grpc     a gRPC server, with health
//	session  raw TCP connections that live on in the next generation
//	websocket
//	         the same for WebSockets
//	datagram UDP peers that are known in the next generation
//	zoo      every kind of traffic in one service, to be attacked while it is upgraded
//	keeper   a keeper of one's own, in the place of "handover run"
//
// Each but the zoo and the keeper listens on $ADDR, by default 127.0.0.1:8080.
package examples
