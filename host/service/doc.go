// Package service is a client of a service's takeover socket: it asks how the service is, has it upgraded, and ends it. It
// works the same whether a generation of the service answers there or its keeper.
//
// What the service refuses is an error of type *Refusal, which errors.Is finds under the sentinels of this package, by its
// class and by how the handover ended.
package service
