// Package config reads what the host agent is told to keep: one YAML file, taken whole or refused whole.
//
// It promises that a Config it returns is complete (every field that was left open has its default) and can be carried out as far as this host
// can tell before it is tried; and that of a file it refuses every fault is told, each with its line, its column and what was expected there. It
// reads files and asks for users; it changes nothing, and keeps nothing of what it read before.
package config

import "time"

// Config is what one agent keeps. The zero value is an agent without services.
type Config struct {
	// Runtime is the directory of the control socket and of takeover sockets. Default /run/handover for root, else $XDG_RUNTIME_DIR/handover.
	Runtime string `yaml:"runtime" needs:"agent"`
	// State is the directory of the journal, the audit log, releases and kept builds. Default /var/lib/handover for root, else
	// $XDG_STATE_HOME/handover.
	State string `yaml:"state" needs:"agent"`
	// Log is the directory of what services print, a directory each. Default /var/log/handover for root, else log in State.
	Log string `yaml:"log" needs:"agent"`
	// Control says where the agent can be asked, and by whom.
	Control Control `yaml:"control"`
	// Services are those that the agent keeps.
	Services []Service `yaml:"services"`
}

// Control is the agent's own door.
type Control struct {
	// Socket is the path of the unix socket, whose directory others than the agent's user can enter. Default agent.sock in the directory beside
	// Runtime whose name has -agent appended: /run/handover-agent/agent.sock for root.
	Socket string `yaml:"socket" needs:"agent"`
	// Listen is an address, HOST:PORT, at which the agent can be asked over TLS too. Default: none.
	Listen string `yaml:"listen" needs:"reload"`
	// TLS is needed with Listen.
	TLS TLS `yaml:"tls" needs:"reload"`
	// Access says who may do what.
	Access Access `yaml:"access" needs:"reload"`
}

// TLS names the files of the agent's TLS listener, in PEM.
type TLS struct {
	// Certificate is the agent's own, with what leads from it to its authority.
	Certificate string `yaml:"certificate"`
	// Key is the private key to it; a file that everyone can reach is refused.
	Key string `yaml:"key"`
	// Clients is the certificate of the authority that signs those of clients; a client without one is refused.
	Clients string `yaml:"clients"`
}

// Access lists who has which role: user:NAME, group:NAME, uid:NUMBER or gid:NUMBER at the unix socket, and over TLS cn:NAME or uri:URI, the common name
// or an alternative name of the client's certificate. Root and the user of the agent are always admins; nobody else is anything by default.
type Access struct {
	// Admins may do all: a list of user:NAME, group:NAME, uid:NUMBER and gid:NUMBER, and over TLS cn:NAME and uri:URI of certificates. Root and the
	// user of the agent always are.
	Admins []string `yaml:"admins"`
	// Operators may upgrade, roll back, start and stop.
	Operators []string `yaml:"operators"`
	// Viewers may look.
	Viewers []string `yaml:"viewers"`
}

// Service is one service of the host, and what it is upgraded by.
type Service struct {
	// Name of the service: letters, digits, and . _ - after the first. Needed.
	Name string `yaml:"name" needs:"identity"`

	// Command is the program and its first arguments. A path that is not absolute is one within the release. Default: that of the release.
	Command []string `yaml:"command" needs:"upgrade"`
	// Args are arguments after those of Command.
	Args []string `yaml:"args" needs:"upgrade"`
	// Env is the environment of the service, beside PATH, what the other fields say, and with User that user's USER, LOGNAME and HOME; that of the agent is
	// not passed on.
	Env map[string]string `yaml:"env" needs:"upgrade"`
	// Directory in which the service starts, and its checks that are programs. Default: that of the release; else /.
	Directory string `yaml:"directory" needs:"upgrade"`

	// User as whom the service and its keeper run, by name or number. Default: that of the agent; only root can give another.
	User string `yaml:"user" needs:"stop"`
	// Groups of the service, by name or number, the first one its own. Default: those of User.
	Groups []string `yaml:"groups" needs:"stop"`
	// Limits of each process of the service.
	Limits Limits `yaml:"limits" needs:"upgrade"`
	// Cgroup is the control group of the service, a path below the root of the second hierarchy such as /handover/shop; the agent makes it.
	// Default: that of the agent.
	Cgroup string `yaml:"cgroup" needs:"stop"`

	// Listen has the keeper listen for a program that does not embed handover: HOST:PORT, :PORT or the path of a unix socket.
	Listen []string `yaml:"listen" needs:"stop"`
	// Strategy is how a program with Listen is replaced: by starting the next one beside it, or, nginx, in that program's own way, by its master.
	// Default: beside it.
	Strategy string `yaml:"strategy" needs:"stop"`
	// StopSignal tells a program with Listen to end: TERM, INT, QUIT, HUP, USR1, USR2 or WINCH. Default TERM; for the strategy nginx, QUIT.
	StopSignal string `yaml:"stop_signal" needs:"stop"`
	// Health is asked by the keeper, before the commit and in probation.
	Health Health `yaml:"health" needs:"stop"`
	// Checks are made by the agent, in probation and in the bake time.
	Checks []Check `yaml:"checks" needs:"reload"`
	// Policy says how long everything may take, and what is too much.
	Policy Policy `yaml:"policy"`

	// Release says where releases come from.
	Release Release `yaml:"release" needs:"reload"`
	// Watch upgrades by itself when what the service is started from changes: the source of releases if there is one, asked every
	// Release.Interval; else the file of Command. Default false.
	Watch bool `yaml:"watch" needs:"reload"`
	// Hooks are run at the phases of an upgrade, in this order.
	Hooks []Hook `yaml:"hooks" needs:"nothing"`
	// After names services that serve before this one is started, and are stopped after it.
	After []string `yaml:"after" needs:"nothing"`
	// Output says what becomes of what the service prints.
	Output Output `yaml:"output"`
}

// Health is the keeper's own check by HTTP, on the first stream listener of the service.
type Health struct {
	// Path is asked for with GET; a status from 200 to 399 is health. Default: no check.
	Path string `yaml:"path"`
	// TLS asks in HTTPS; the certificate is not verified, as the other end is known.
	TLS bool `yaml:"tls"`
	// Interval is the time between two checks. Default 1s.
	Interval time.Duration `yaml:"interval" default:"1s"`
	// Timeout bounds one check. Default 5s.
	Timeout time.Duration `yaml:"timeout" default:"5s"`
	// Failures is how many in a row are a verdict. Default 3.
	Failures int `yaml:"failures" default:"3"`
}

// Release says where releases come from, and whom they must be signed by.
type Release struct {
	// Source is the path of an archive, a directory or a file, or a reference http://…, https://…, oci://HOST/REPOSITORY:TAG or oci-layout:/PATH:TAG.
	Source string `yaml:"source"`
	// Keys are files with public keys in minisign's format, or directories of them (*.pub). A release must be signed by one.
	Keys []string `yaml:"keys"`
	// Unsigned allows releases that nobody has signed. It and Keys exclude each other; a Source needs one of the two. Default false.
	Unsigned bool `yaml:"unsigned"`
	// Interval is the time between two looks at the source of a service with watch; at least 1s. Default 1m.
	Interval time.Duration `yaml:"interval" default:"1m"`
	// Keep is how many releases are kept beside the current and the committed one. Default 3.
	Keep int `yaml:"keep" default:"3"`
}

// Output says what becomes of what the service prints.
type Output struct {
	// Journald sends it to the journal of systemd instead of files. Default false.
	Journald bool `yaml:"journald" needs:"stop"`
	// MaxSize of a file, past which the next one is begun. Default 64MiB.
	MaxSize Size `yaml:"max_size" default:"64MiB" needs:"nothing"`
	// Keep is how many files are kept beside those that are written to. Default 10.
	Keep int `yaml:"keep" default:"10" needs:"nothing"`
}
