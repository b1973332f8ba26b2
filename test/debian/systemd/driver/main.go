// Command driver runs handovertest's load where the service is: systemd has a network, and process ids, of its own.
//
// It writes "driving" when every client has been answered. Then it obeys lines on its standard input, and answers each
// with one line:
//
//	answer PID    returns when that process has answered a request: "ok", or what went wrong
//	kill PID      kills that process, and counts what it held as lost in a crash: the same
//	stop          ends the load: the report as JSON
//
// It ends after stop, or at the end of its input.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/handover-go/handover/handovertest"
	"github.com/handover-go/handover/internal/platform"
)

func main() {
	if err := drive(); err != nil {
		fmt.Fprintln(os.Stderr, "driver:", err)
		os.Exit(1)
	}
}

func drive() error {
	address := flag.String("address", "", "where the service answers")
	ledger := flag.String("ledger", "", "the service's ledger of connections")
	flag.Parse()
	driver, err := handovertest.Drive(context.Background(), handovertest.Load{
		Address: *address, Ledger: *ledger, Quiet: [2]time.Duration{time.Second, 3 * time.Second}, CountPoliteCloses: true,
	})
	if err != nil {
		return err
	}
	defer driver.Stop()
	fmt.Println("driving")
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		verb, operand, _ := strings.Cut(lines.Text(), " ")
		if verb == "stop" {
			return json.NewEncoder(os.Stdout).Encode(driver.Stop())
		}
		if err := obey(driver, verb, operand); err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Println("ok")
	}
	return errors.New("input ended before stop")
}

func obey(driver *handovertest.Driver, verb, operand string) error {
	pid, err := strconv.Atoi(operand)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	switch verb {
	case "answer":
		return driver.WaitPID(ctx, pid)
	case "kill":
		process, err := os.FindProcess(pid)
		if err != nil {
			return err
		}
		defer func() { _ = process.Release() }()
		death, err := platform.OpenPidfd(pid)
		if err != nil {
			return err
		}
		defer func() { _ = death.Close() }()
		at := time.Now()
		if err := process.Kill(); err != nil {
			return err
		}
		if err := death.Wait(ctx); err != nil {
			return err
		}
		driver.Killed(pid, at)
		return nil
	default:
		return fmt.Errorf("what is %q?", verb)
	}
}
