// Package handover replaces a running service by its next build, at any moment and under any load, and nobody notices.
//
// A service embeds it in one line,
//
//	log.Fatal(handover.ListenAndServe(":8080", handler))
//
// and is upgraded by SIGUSR2: the running process, the incumbent, starts the program anew as its successor and passes it the
// listening sockets. The successor builds itself, checks itself and declares itself ready; the incumbent stops accepting, the
// successor begins, and for a while, the probation, the incumbent stands by: should the successor crash, hang or fail its
// check, the incumbent accepts again. After that it drains: requests in flight are answered, and idle HTTP/1.1 connections move
// to the successor, open as they are.
//
// No request fails, no connection closes and no client is refused because of a handover. What a handover cannot do is in the
// documentation of [Process].
//
// A service with several listeners, background work or checks of its own uses [New], [Process.Listen], [Process.ListenPacket],
// [Process.Attach], [Process.WhileServing] and [Process.Run]; connections whose protocol is its own live on by [Process.Sessions]. Handovers work on Linux; elsewhere the service is served plainly, and
// [Process.Upgrade] answers [errors.ErrUnsupported].
package handover
