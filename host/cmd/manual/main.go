// Command manual writes the manual page of handover, which packages install as handover(1).
package main

import (
	"bufio"
	"fmt"
	"os"

	"github.com/handover-go/handover/host/cli"
)

func main() {
	out := bufio.NewWriter(os.Stdout)
	cli.Manual(out)
	if err := out.Flush(); err != nil {
		fmt.Fprintln(os.Stderr, "write the manual:", err)
		os.Exit(1)
	}
}
