// Command bench measures what handover costs: the served request beside plain net/http, and the migration of idle
// connections.
//
//	go run . [-rounds 9] [-connections 4000]
package main

import (
	"flag"
	"fmt"
	"os"
	"runtime"
)

func main() {
	rounds := flag.Int("rounds", 9, "rounds of the served request, plain and handover in turn")
	span := flag.Duration("span", defaultSpan, "length of one round")
	connections := flag.Int("connections", 4000, "idle connections to migrate")
	flag.Parse()
	if address := os.Getenv(serviceVariable); address != "" {
		serveIdle(address)
		return
	}
	fmt.Printf("%s %s/%s, %d cores\n\n", runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU())
	if err := compareRequests(*rounds, *span); err != nil {
		fail(err)
	}
	fmt.Println()
	if err := migrate(*connections); err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "bench:", err)
	os.Exit(1)
}
