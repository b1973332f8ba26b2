// Command scale measures what handovers cost as a service grows: upgrades in a row, idle connections, listeners, and clients that
// connect anew; and what it costs that HTTPS connections live on. It writes tables, and a plot of each, into a folder.
//
//	go run ./scale [-out ../docs/results] [-only upgrades,idle,listeners,connect,stages,tls,requests] [-upgrades 1000]
//	    [-connections 16000] [-secure 5000]
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"time"
)

// A part measures one thing, writes what it finds on standard output as Markdown, and plots it.
type part struct {
	name    string
	measure func(context.Context, settings) error
}

var parts = []part{
	{"upgrades", manyUpgrades},
	{"idle", idleConnections},
	{"listeners", manyListeners},
	{"connect", newConnections},
	{"stages", stages},
	{"tls", tlsConnections},
	{"requests", tlsRequests},
}

type settings struct {
	out         string // the folder for plots; none: no plots
	upgrades    int
	connections int
	secure      int
	rounds      int
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("scale: ")
	if role := os.Getenv(roleVariable); role != "" {
		if err := play(role); err != nil {
			log.Fatal(role, ": ", err)
		}
		return
	}
	var s settings
	only := flag.String("only", "", "parts to measure, separated by commas; default: all")
	flag.StringVar(&s.out, "out", "", "folder for plots; default: none are made")
	flag.IntVar(&s.upgrades, "upgrades", 1000, "upgrades in a row")
	flag.IntVar(&s.connections, "connections", 16000, "the most idle connections")
	flag.IntVar(&s.secure, "secure", 5000, "HTTPS connections")
	flag.IntVar(&s.rounds, "rounds", 5, "rounds of what is repeated")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	fmt.Printf("%s, %s/%s, %d cores, %s\n", runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), time.Now().Format(time.DateOnly))
	if err := run(ctx, s, *only); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, s settings, only string) error {
	wanted := strings.Split(only, ",")
	for _, name := range wanted {
		if only != "" && !slices.ContainsFunc(parts, func(p part) bool { return p.name == name }) {
			return fmt.Errorf("-only %s: there is no such part", name)
		}
	}
	var errs []error
	for _, p := range parts {
		if only == "" || slices.Contains(wanted, p.name) {
			if err := p.measure(ctx, s); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", p.name, err))
			}
		}
	}
	return errors.Join(errs...)
}
