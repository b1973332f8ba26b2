package keeper

import (
	"context"
	"net"
	"os"
	"testing"

	"github.com/handover-go/handover/internal/platform"
)

func TestWhoHasAcceptedAConnectionIsFound(t *testing.T) {
	for _, address := range []struct{ listen, dial string }{
		{"127.0.0.1:0", "127.0.0.1"}, {"[::1]:0", "::1"}, {"[::]:0", "127.0.0.1"},
	} {
		ln, err := net.Listen("tcp", address.listen)
		if err != nil {
			t.Fatal(err)
		}
		defer ln.Close()
		_, port, _ := net.SplitHostPort(ln.Addr().String())
		client, err := net.Dial("tcp", net.JoinHostPort(address.dial, port))
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		ours, theirs := addrPort(client.LocalAddr()), addrPort(client.RemoteAddr())
		find := map[string]func() (string, error){
			"sock_diag": func() (string, error) { return platform.AcceptedInode(theirs, ours) },
			"table":     func() (string, error) { return inodeInTables(theirs, ours) },
		}
		for how, f := range find {
			if inode, err := f(); inode != "" || err != nil {
				t.Errorf("%s, %s: %q, %v before anybody has accepted", address.listen, how, inode, err)
			}
		}
		conn, err := ln.Accept()
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		for how, f := range find {
			inode, err := f()
			if held, _ := sockets(os.Getpid()); err != nil || inode == "" || !held[inode] {
				t.Errorf("%s, %s: %q, %v", address.listen, how, inode, err)
			}
		}
		if root, err := accepted(context.Background(), client, []int{1, os.Getpid()}); root != os.Getpid() || err != nil {
			t.Errorf("%s: process %d, %v", address.listen, root, err)
		}
	}
}
