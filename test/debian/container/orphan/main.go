// Command orphan leaves a process behind, which ends when it has: process 1 has to reap it. It writes the pid of that.
package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
)

func main() {
	if len(os.Args) > 1 {
		_, _ = io.Copy(io.Discard, os.Stdin) // until its parent has ended
		return
	}
	child := exec.Command("/proc/self/exe", "orphan")
	_, err := child.StdinPipe() // its other end closes with this process
	if err == nil {
		err = child.Start()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "orphan:", err)
		os.Exit(1)
	}
	fmt.Println(child.Process.Pid)
}
