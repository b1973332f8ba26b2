// Package agent keeps all services of a host.
//
// It is a service itself: its control socket is handed over to its next build by package handover, and what it does to services is done
// only by the generation that serves. It holds nothing of the services: killed at any instant and started again, it finds them at
// their takeover sockets, and what it had begun in its journal.
package agent
