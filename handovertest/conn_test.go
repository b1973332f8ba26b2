package handovertest

import (
	"net"
	"testing"
	"time"
)

func TestAnswerThatWaitedWhileTheDriverWasStoppedIsRead(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	c, err := dial(&Load{Network: "tcp", Address: ln.Addr().String(), Timeout: time.Second}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	service, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer service.Close()
	service.Write([]byte("x"))

	// As if it woke up long after the deadline.
	c.arm(-2 * lateness)
	if n, err := c.Read(make([]byte, 1)); n != 1 || err != nil {
		t.Errorf("read %d, %v", n, err)
	}
	service.Write([]byte("y"))
	c.arm(-lateness / 2)
	if n, err := c.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Errorf("read %d, %v, want a timeout: the driver was awake", n, err)
	}
}
