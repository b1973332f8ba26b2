package main

import (
	"fmt"
	"log"
	"net/http"
	"os"

	"github.com/handover-go/handover"
)

func main() {
	http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, "%d\n", os.Getpid()) })
	log.Fatal(handover.ListenAndServe(os.Getenv("ADDR"), nil))
}
