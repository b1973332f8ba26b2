// Command foreign is a program for another processor.
package main

func main() {}
