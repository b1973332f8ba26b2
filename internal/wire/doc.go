// Package wire speaks the link protocol: frames, their descriptors and the negotiation that precedes them.
//
// SPEC.md in this directory is the contract. The package knows readers, writers and descriptors, and no process: who may
// say what, when, and what silence means is decided above it.
//
// It promises that a frame is sent whole or the link is broken, that a descriptor received is handed to exactly one owner
// or closed, and that nothing a peer sends can make it panic, block on memory, or keep what it cannot name.
package wire
