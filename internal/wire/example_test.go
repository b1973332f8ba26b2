package wire

import "fmt"

func ExampleLink() {
	closeFD := func(int) error { return nil }
	near, far := newPair(nil) // in a service: the two ends of a platform.Socket
	incumbent, successor := NewLink(near, closeFD), NewLink(far, closeFD)

	if err := incumbent.Send(7, &Preview{Key: "tcp|:8080|0"}, 42); err != nil {
		fmt.Println(err)
		return
	}
	f, err := successor.Receive()
	if err != nil {
		fmt.Println(err)
		return
	}
	switch m := f.Message.(type) {
	case *Preview:
		fmt.Printf("attempt %d: descriptor %d was accepted on %s\n", f.Attempt, f.Descriptors[0], m.Key)
	default:
		fmt.Println("not expected now:", f.Kind())
	}
	// Output: attempt 7: descriptor 42 was accepted on tcp|:8080|0
}
