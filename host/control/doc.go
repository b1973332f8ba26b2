// Package control is how the agent of a host is asked: HTTP with JSON, at a unix socket and, where that is wanted, over mutual TLS.
//
// One table (routes.go) says of each route who may use it, what it takes and what it answers. The server serves it, openapi.json
// describes it, Client speaks it, and the tests hold the four together. What the answers are made of is the agent's: Backend.
//
// Whoever changes something, or is denied, is in the audit log before he has his answer. An upgrade that was begun goes on
// whatever becomes of its client or of this server.
package control
