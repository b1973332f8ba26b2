package config

import "time"

// Check is one check of the agent. What it checks is said by exactly one of HTTP, GRPC, TCP, Exec, Heartbeat and Version.
type Check struct {
	// Name of the check in evidence. Default: its kind, and a number if there are several of it.
	Name string `yaml:"name"`

	// HTTP is a URL to be asked for with GET.
	HTTP string `yaml:"http"`
	// Socket is the path of a unix socket at which HTTP is asked. Default: the host and port of the URL.
	Socket string `yaml:"socket"`
	// Host replaces the host of the URL in the request.
	Host string `yaml:"host"`
	// Status lists what is well: numbers and ranges such as 200-299,404. Default 200-399.
	Status Statuses `yaml:"status" default:"200-399"`
	// Body is a regular expression that the beginning of the answer, of 1 MiB, must match (RE2). Default: anything is well.
	Body string `yaml:"body"`
	// Unverified accepts any certificate. Default false.
	Unverified bool `yaml:"unverified"`

	// GRPC is an address, HOST:PORT or the path of a unix socket, that is asked by grpc.health.v1.
	GRPC string `yaml:"grpc"`
	// Service whose health is asked for by GRPC. Default: that of the whole server.
	Service string `yaml:"service"`

	// TCP is an address, HOST:PORT or the path of a unix socket, that must accept a connection.
	TCP string `yaml:"tcp"`
	// Send is written to the connection of TCP.
	Send string `yaml:"send"`
	// Expect is what the first 4 KiB of the answer to it must contain.
	Expect string `yaml:"expect"`

	// Exec is a program and its arguments, which must exit 0. A path that is not absolute is one within the release that is checked: from the commit of an
	// upgrade on the successor's. It runs in the directory of the service, and as its user and groups, with PATH, HOME and that user's name and
	// nothing else of its environment.
	Exec []string `yaml:"exec"`

	// Heartbeat wants an answer of the library in the service within Timeout.
	Heartbeat bool `yaml:"heartbeat"`
	// Version wants the successor to report the version that its release promised.
	Version bool `yaml:"version"`

	// Interval is the time between two checks; at least 100ms. Default 5s.
	Interval time.Duration `yaml:"interval" default:"5s"`
	// Timeout bounds one check; not more than Interval. Default: the less of 5s and Interval.
	Timeout time.Duration `yaml:"timeout"`
	// Failures is how many in a row are a verdict. Default 3.
	Failures int `yaml:"failures" default:"3"`
}

// Kinds that a check can be of.
const (
	HTTP      = "http"
	GRPC      = "grpc"
	TCP       = "tcp"
	Exec      = "exec"
	Heartbeat = "heartbeat"
	Version   = "version"
)

// Kind is what the check checks; empty if it does not say.
func (c Check) Kind() string {
	if kinds := c.kinds(); len(kinds) > 0 {
		return kinds[0]
	}
	return ""
}

func (c Check) kinds() (all []string) {
	for _, k := range []struct {
		name string
		set  bool
	}{{HTTP, c.HTTP != ""}, {GRPC, c.GRPC != ""}, {TCP, c.TCP != ""}, {Exec, len(c.Exec) > 0}, {Heartbeat, c.Heartbeat}, {Version, c.Version}} {
		if k.set {
			all = append(all, k.name)
		}
	}
	return all
}
