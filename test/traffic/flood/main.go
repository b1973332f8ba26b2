// Command flood is both ends of a flood of datagrams: see package flood's test beside it, test/traffic.
//
//	flood send ADDRESS RATE    sends numbered datagrams, RATE a second, until its input ends; then writes a Sent
//	flood                      a service that reads them at $UDP, and writes a Read into $REPORTS as it ends
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"

	"github.com/handover-go/handover/test/internal/flood"
)

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		slog.Error("flood ended", "error", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 3 && args[0] == "send" {
		rate, err := strconv.Atoi(args[2])
		if err != nil {
			return err
		}
		sent, err := flood.Send(args[1], rate, os.Stdin)
		if err != nil {
			return err
		}
		return json.NewEncoder(os.Stdout).Encode(sent)
	}
	read, err := flood.Serve(ctx, os.Getenv("ADDR"), os.Getenv("UDP"))
	if err != nil {
		return err
	}
	text, err := json.Marshal(read)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(os.Getenv("REPORTS"), fmt.Sprint(os.Getpid())), text, 0o600)
}
