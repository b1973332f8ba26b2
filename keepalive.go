package handover

import (
	"net"

	"github.com/handover-go/handover/internal/platform"
)

// keepAlive gives a connection that was accepted on an adopted listener the keep-alive that ListenConfig asks for: package net does so on
// listeners that it has made by it, and has a default of its own for others. Where that differs is where this has anything to do.
func (l *listener) keepAlive(raw net.Conn) {
	c, ok := raw.(*net.TCPConn)
	asked, idle := l.set.config.KeepAliveConfig, l.set.config.KeepAlive
	if !ok || l.from == nil || asked == (net.KeepAliveConfig{}) && idle == 0 {
		return
	}
	// What ListenConfig leaves as it is was the listener's, and Control may have set it there.
	err := platform.KeepAliveOf(l.kernel, c)
	if !asked.Enable && idle >= 0 {
		asked = net.KeepAliveConfig{Enable: true, Idle: idle}
	}
	if err == nil && asked.Enable {
		err = c.SetKeepAliveConfig(asked)
	}
	if err != nil {
		l.set.log.Debug("the connection keeps the default keep-alive", "listener", l.spec.Key(), "error", err)
	}
}
