// Command hello says which build it is.
package main

import "os"

var name = "nobody"

func main() {
	os.Stdout.WriteString("hello, " + name + "\n")
}
