// Command twelve is the smallest service there is: an http.Handler, served so that SIGUSR2 upgrades it.
package main

import (
	"errors"
	"log"
	"net/http"
	"os"

	"github.com/handover-go/handover"
	"github.com/handover-go/handover/test/strict"
)

func main() {
	http.HandleFunc("/", strict.Echo)
	if err := handover.ListenAndServe(os.Getenv("ADDR"), nil); !errors.Is(err, http.ErrServerClosed) {
		log.Fatal(err)
	}
}
