// Package keeper is the stable parent of a service: it starts every generation, holds a copy of every listener, and
// restarts the service when it dies, from a copy of the build that ran.
//
// It promises that the death of the only generation refuses nobody: clients wait in the queues of the listeners, which the
// keeper holds, until the next generation serves. It never stands between a client and the service, and the service does not
// need it: when the keeper dies, the generations go on by themselves, until another keeper of the same name comes.
//
// A keeper starts processes and reaps all of its program's children, so a program that embeds it must start no others. It
// needs Linux; elsewhere New answers [errors.ErrUnsupported].
package keeper
