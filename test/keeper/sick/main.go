// Command sick is a service that starts well and is not healthy.
package main

import (
	"errors"
	"log"
	"net/http"
	"os"

	"github.com/handover-go/handover"
)

func main() {
	http.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "sick", http.StatusServiceUnavailable) })
	if err := handover.ListenAndServe(os.Getenv("ADDR"), nil); !errors.Is(err, http.ErrServerClosed) {
		log.Fatal(err)
	}
}
