// Command endless is the service under fvbock/endless, as its README shows it: an upgrade on SIGHUP.
package main

import (
	"log"

	"github.com/fvbock/endless"

	"github.com/handover-go/handover/bench/service"
)

func main() {
	endless.DefaultHammerTime = service.DrainTimeout
	service.Prepare()
	server := endless.NewServer(service.Address(), service.Handler())
	server.BeforeBegin = func(string) { service.Serving() }
	if err := server.ListenAndServe(); err != nil {
		log.Println(err) // says that the listener is closed after each upgrade
	}
}
