// Package cli is the command line "handover": it runs a service under a keeper, or the agent that keeps all services of a host, and asks
// services how they are, to upgrade and to end, by their agent if they have one, and whether they have a keeper or not.
//
// A command that fails says on standard error what failed and what to do next, and ends with one of the exit codes of exit.go.
package cli
