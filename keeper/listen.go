package keeper

import (
	"context"
	"errors"
	"fmt"
	"net"
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
	for _, address := range k.config.Listen {
		h, err := bind(address)
		if err != nil {
			letGo(k.spare)
			return fmt.Errorf("listen for the service: %w", err)
		}
		k.spare = append(k.spare, h)
	}
	return nil
}

// bind makes a listening socket.
func bind(address string) (holding, error) {
	network := "tcp"
	if strings.Contains(address, "/") {
		network = "unix"
	}
	// Multipath TCP, which package net prefers, is not what a program that gets the socket expects.
	var c net.ListenConfig
	c.SetMultipathTCP(false)
	ln, err := c.Listen(context.Background(), network, address)
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
