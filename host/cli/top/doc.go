// Package top shows all services of an agent on a whole terminal: how each is, how far its upgrade is, and what it writes.
//
// [Model] is pure: it is changed by messages alone, and what it wants to know it asks by commands, whose answers are messages too. [Run] stands
// around it, with the agent and the terminal.
package top
