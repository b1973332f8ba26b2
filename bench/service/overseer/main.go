// Command overseer is the service under jpillora/overseer, as its README shows it: a restart on SIGUSR2.
package main

import (
	"log"
	"net/http"

	"github.com/jpillora/overseer"

	"github.com/handover-go/handover/bench/service"
)

func main() {
	overseer.Run(overseer.Config{Required: true, Program: serve, Address: service.Address(), TerminateTimeout: service.DrainTimeout})
}

// serve runs in the child. Idle keep-alive connections would hold it until TerminateTimeout, which then closes them, busy or
// not; so its clients are asked to leave before. Shutdown cannot be used: it waits for the listener's Close, and that for every
// connection, under the lock that connections need to end.
func serve(state overseer.State) {
	service.Prepare()
	server := &http.Server{Handler: service.Handler()}
	go func() {
		<-state.GracefulShutdown
		server.SetKeepAlivesEnabled(false)
	}()
	service.Serving()
	if err := server.Serve(state.Listener); err != nil {
		log.Println(err) // says that the listener is closed after each upgrade
	}
}
