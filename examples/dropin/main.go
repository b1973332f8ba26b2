// Command dropin has one line of handover, where http.ListenAndServe stood. It does not learn its generation: see http.
package main

import (
	"cmp"
	"fmt"
	"log"
	"net/http"
	"os"

	"github.com/handover-go/handover"
)

// build is set by: go build -ldflags "-X main.build=v2"
var build = "dev"

func main() {
	http.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "build %s pid %d\n", build, os.Getpid())
	})
	log.Fatal(handover.ListenAndServe(cmp.Or(os.Getenv("ADDR"), "127.0.0.1:8080"), nil))
}
