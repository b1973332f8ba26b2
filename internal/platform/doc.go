// Package platform is the only place of the project with system calls.
//
// It promises four things the rest is built on: descriptors travel between processes without being lost or leaked
// unnoticed (Socket), a process is called dead only when the kernel says so (Pidfd), a live socket shared with another
// process never has its flags changed under it (Listener, Conn, FD), and what comes from outside is checked before it
// is used (SocketKind, PeerCredentials, RuntimeDir).
//
// Linux 5.3 and later is supported in full. Elsewhere everything compiles, and what is missing answers an error that
// wraps errors.ErrUnsupported.
package platform

// Supported reports nil where handovers work, else an error that wraps errors.ErrUnsupported and names the operating
// system. It opens no descriptor, so it can be asked by a process that has none left.
func Supported() error { return supported() }
