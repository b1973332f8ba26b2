package control

import (
	"cmp"
	"fmt"

	"github.com/handover-go/handover/host/audit"
)

// Role is what a caller may do. Each may all that the one before may.
type Role int

const (
	None     Role = iota // nothing
	Viewer               // looks
	Operator             // also upgrades, goes back, starts and stops
	Admin                // also what a release does not vouch for, the agent itself and the audit log
)

var roles = [...]string{"none", "viewer", "operator", "admin"}

func (r Role) String() string { return roles[r] }

// Caller is who asks.
type Caller struct {
	Role    Role
	Peer    *audit.Peer // at a unix socket, as the kernel names it
	Subject string      // over TLS: cn:NAME or uri:URI of the verified certificate
	From    string      // unix:PATH or tcp:ADDRESS
}

// String is the caller as Upgrade.By has him.
func (c Caller) String() string {
	if c.Peer != nil {
		return fmt.Sprintf("uid:%d (%s)", c.Peer.UID, c.Role)
	}
	return fmt.Sprintf("%s (%s)", cmp.Or(c.Subject, "nobody"), c.Role)
}

func (c Caller) who() audit.Who {
	return audit.Who{Role: c.Role.String(), Peer: c.Peer, Subject: c.Subject}
}

// key is the same for all processes of a user, and for all connections of a certificate.
func (c Caller) key() string {
	if c.Peer != nil {
		return fmt.Sprintf("uid:%d", c.Peer.UID)
	}
	return c.Subject
}
