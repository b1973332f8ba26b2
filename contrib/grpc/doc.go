// Package handovergrpc serves gRPC across handovers: when another generation serves for good, clients are told by GOAWAY at
// once, calls and streams that have begun are finished, and new ones go to the next generation, with no client noticing.
//
// A [grpc.Server] that was stopped cannot begin again, so it is stopped only when nothing takes that back: after FINAL, in a
// successor that was taken back, and where the service ends. Until then it serves, in an incumbent that stands by as well;
// a handover that comes to nothing does not touch it.
//
// A gRPC connection does not move, and a stream stays with the generation that it began in until it ends. Where streams
// are endless, as those of a watch, their clients should expect them to be cut: by the service itself, when
// [handover.Process.Draining] is closed, or by the library at Config.DrainTimeout.
//
// The alternative, an http.Server whose handler is the grpc.Server, needs no adapter, but is served by net/http's HTTP/2:
// it is slower, without keepalive enforcement and the server options that concern the transport, and grpc-go calls it
// experimental. A server of package xds is none of google.golang.org/grpc and cannot be attached.
package handovergrpc
