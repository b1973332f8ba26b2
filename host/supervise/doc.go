// Package supervise keeps one service of a host: it sees to it that a keeper runs, upgrades the service by verified releases,
// watches what it has let in, and takes it back.
//
// It holds nothing of the service: no process is its child in more than name, no socket is its own. It can be killed at any
// instant, and another in its place finds the service by its takeover socket, and what was under way in the journal.
package supervise
