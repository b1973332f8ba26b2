// Package zoo drives examples/zoo, kept by "handover run", with every kind of traffic at once while it is upgraded, and while bad
// builds of it are taken back: curl, h2load and wrk as Debian packages them, grpc-go's interop client, coder/websocket, and plain
// sockets. The service, its keeper and the clients are built as they are used, without the race detector.
package zoo
