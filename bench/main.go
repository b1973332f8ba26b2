// Command bench measures a small service under handover beside the same service under other libraries, beside one that is just
// restarted, and beside proxies, and writes one table.
//
//	go run . [-rounds 3] [-upgrades 10] [-only "handover,tableflip"] [-quick] [-out FILE]
//
// docs/results/bench.md says how each row is measured.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"

	"github.com/handover-go/handover/bench/subject"
	"github.com/handover-go/handover/bench/table"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("bench", flag.ExitOnError)
	p := full
	rounds := flags.Int("rounds", 0, "how often all subjects take their turn (default 3)")
	upgrades := flags.Int("upgrades", 0, "upgrades of each subject under load in a round (default 10)")
	only := flags.String("only", "", "`SUBJECTS`, with commas between: "+strings.Join(subject.Names(subject.All()), ", "))
	quick := flags.Bool("quick", false, "one short round: figures that say little")
	out := flags.String("out", "", "`FILE` in which the result replaces the one before")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *quick {
		p = short
	}
	if *rounds > 0 {
		p.rounds = *rounds
	}
	if *upgrades > 0 {
		p.upgrades = *upgrades
	}
	subjects, err := subject.Select(names(*only))
	if err != nil {
		return err
	}
	b, err := perform(ctx, p, subjects)
	if err != nil {
		return err
	}
	text := b.report(command(args))
	fmt.Print(text)
	if *out == "" {
		return nil
	}
	return table.WriteInto(*out, text)
}

func names(list string) []string {
	if list == "" {
		return nil
	}
	names := strings.Split(list, ",")
	for i := range names {
		names[i] = strings.TrimSpace(names[i])
	}
	return names
}

// command is what was called, to be called again.
func command(args []string) string {
	words := []string{"go run ."}
	for _, a := range args {
		if strings.ContainsAny(a, " /+") {
			a = strconv.Quote(a)
		}
		words = append(words, a)
	}
	return strings.Join(words, " ")
}
