package keeper

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"

	"github.com/handover-go/handover/internal/peer"
	"github.com/handover-go/handover/internal/platform"
	"github.com/handover-go/handover/internal/wire"
)

// listen takes what socket activation brought, and listens where the configuration says, for the first generation.
func (k *Keeper) listen() error {
	for _, a := range peer.Activation(k.log) {
		k.spare = append(k.spare, holding{a.Spec, a.FD})
	}
	brought := slices.Clone(k.spare)
	for _, address := range k.config.Listen {
		if i := slices.IndexFunc(brought, func(h holding) bool { return listensAt(h.spec, address) }); i >= 0 {
			brought = slices.Delete(brought, i, i+1)
			continue
		}
		h, err := bind(address)
		if err != nil {
			letGo(k.spare)
			return fmt.Errorf("listen for the service: %w", err)
		}
		k.spare = append(k.spare, h)
	}
	return nil
}

// networkOf is the network of an address to listen at.
func networkOf(address string) string {
	if strings.Contains(address, "/") || strings.HasPrefix(address, "@") {
		return "unix"
	}
	return "tcp"
}

// listensAt reports whether a socket is what listening at address would make.
func listensAt(spec wire.Listener, address string) bool {
	network := networkOf(address)
	switch {
	case spec.Packet || spec.Network != network:
		return false
	case network == "unix":
		return spec.Bound == address
	}
	wanted, err := net.ResolveTCPAddr(network, address)
	if err != nil {
		return false // which bind will tell
	}
	bound, err := net.ResolveTCPAddr(network, spec.Bound)
	if err != nil || bound.Port != wanted.Port {
		return false
	}
	if len(wanted.IP) == 0 || wanted.IP.IsUnspecified() {
		return bound.IP.IsUnspecified()
	}
	return bound.IP.Equal(wanted.IP)
}

// bind makes a listening socket.
func bind(address string) (holding, error) {
	network := networkOf(address)
	ln, err := listenAt(network, address)
	if errors.Is(err, syscall.EADDRINUSE) && network == "unix" && abandoned(address) {
		if err = os.Remove(address); err == nil {
			ln, err = listenAt(network, address)
		}
	}
	if err != nil {
		return holding{}, err
	}
	defer func() { _ = ln.Close() }()
	if u, ok := ln.(*net.UnixListener); ok {
		u.SetUnlinkOnClose(false)
	}
	sc, ok := ln.(syscall.Conn)
	if !ok {
		return holding{}, errors.ErrUnsupported
	}
	fd, err := platform.FD(sc)
	if err == nil {
		fd, err = platform.Duplicate(fd)
	}
	if err != nil {
		return holding{}, err
	}
	return holding{wire.Listener{Network: network, Address: address, Bound: ln.Addr().String()}, fd}, nil
}

func listenAt(network, address string) (net.Listener, error) {
	// Multipath TCP, which package net prefers, is not what a program that gets the socket expects.
	var c net.ListenConfig
	c.SetMultipathTCP(false)
	return c.Listen(context.Background(), network, address)
}

// abandoned reports whether at path there is a unix socket that nobody listens on: what a keeper left behind that has ended.
func abandoned(path string) bool {
	info, err := os.Lstat(path)
	if err != nil || info.Mode().Type() != os.ModeSocket {
		return false
	}
	c, err := net.Dial("unix", path)
	if err == nil {
		_ = c.Close()
	}
	return errors.Is(err, syscall.ECONNREFUSED)
}

// makeBlocking clears O_NONBLOCK of a listening socket, as a program that is given one expects it (systemd does the same before
// each start). Everyone who holds the socket shares the mode, so nobody but the keeper may.
func makeBlocking(fd int) error {
	fd, err := platform.Duplicate(fd)
	if err != nil {
		return err
	}
	ln, err := platform.Listener(fd)
	if err != nil {
		return err
	}
	defer func() { _ = ln.Close() }()
	filer, ok := ln.(interface{ File() (*os.File, error) })
	if !ok {
		return errors.ErrUnsupported
	}
	f, err := filer.File()
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	_ = f.Fd() // of a file that package net made: this is what clears the mode
	return nil
}

// makeNonBlocking sets O_NONBLOCK of a socket, which package net does with all that it is given.
func makeNonBlocking(h holding) error {
	fd, err := platform.Duplicate(h.fd)
	if err != nil {
		return err
	}
	var c io.Closer
	if h.spec.Packet {
		c, err = platform.PacketConn(fd)
	} else {
		c, err = platform.Listener(fd)
	}
	if err != nil {
		return err
	}
	return c.Close()
}
