package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/handover-go/handover/host/agent"
	"github.com/handover-go/handover/host/control"
	"github.com/handover-go/handover/host/service"
)

// agentFlags say which agent is asked, and as whom.
func agentFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{
			Name: "agent", Usage: "`ADDRESS` of the agent: the path of its socket, or https://HOST:PORT", Sources: cli.EnvVars("HANDOVER_AGENT"),
			DefaultText: "agent.sock in the directory beside --runtime-dir whose name has -agent appended, else /run/handover-agent/agent.sock",
		},
		&cli.BoolFlag{Name: "no-agent", Usage: "ask the service itself, not the agent that keeps it"},
		&cli.StringFlag{Name: "cert", Usage: "`FILE` of this client's certificate, for https", TakesFile: true, Sources: cli.EnvVars("HANDOVER_CLIENT_CERT")},
		&cli.StringFlag{Name: "key", Usage: "`FILE` of the private key to it", TakesFile: true, Sources: cli.EnvVars("HANDOVER_CLIENT_KEY")},
		&cli.StringFlag{Name: "ca", Usage: "`FILE` of the authority that has signed the agent's certificate", TakesFile: true, Sources: cli.EnvVars("HANDOVER_AGENT_CA")},
	}
}

// questionTimeout bounds a question that changes nothing, and actionTimeout one that does: an agent itself gives up after two minutes.
const (
	questionTimeout = 10 * time.Second
	actionTimeout   = 130 * time.Second
)

// findAgent returns a client of the agent that is meant, nil if there is none. One that the user has named is meant whether it answers or
// not; else the first of the usual sockets holds at which somebody answers.
func findAgent(c *cli.Command) (client *control.Client, byName bool, err error) {
	address := c.String("agent")
	switch {
	case c.Bool("no-agent"):
		return nil, false, nil
	case address != "":
		client, err = dialAgent(c, address)
		return client, true, err
	}
	for _, path := range agentSockets(c.String("runtime-dir")) {
		if !trusted(path, c.String("runtime-dir")) {
			continue
		}
		if conn, err := net.DialTimeout("unix", path, time.Second); err == nil {
			_ = conn.Close()
			client, err = control.Dial(path, control.Options{})
			return client, false, err
		}
	}
	return nil, false, nil
}

func dialAgent(c *cli.Command, address string) (*control.Client, error) {
	var o control.Options
	switch {
	case strings.HasPrefix(address, "https://"):
		cert, key, ca := c.String("cert"), c.String("key"), c.String("ca")
		if cert == "" || key == "" || ca == "" {
			return nil, wrongUse("agent %s: https needs --cert, --key and --ca", address)
		}
		var err error
		if o.TLS, err = control.ClientTLS(cert, key, ca); err != nil {
			return nil, failure{error: err, next: "name files in PEM by --cert, --key and --ca"}
		}
	case !strings.Contains(address, ":"):
		var err error
		if address, err = filepath.Abs(address); err != nil {
			return nil, fmt.Errorf("find the socket of the agent: %w", err)
		}
	}
	return control.Dial(address, o)
}

// agentSockets are where the agent of this user, and that of the host, can be asked; of a runtime directory that was named, its own alone.
func agentSockets(runtimeDir string) []string {
	var all []string
	if dir, err := service.RuntimeDir(runtimeDir); err == nil {
		all = append(all, filepath.Join(dir+"-agent", "agent.sock"))
	}
	if runtimeDir == "" {
		all = append(all, "/run/handover-agent/agent.sock")
	}
	return all
}

// trusted reports whether nobody else can have put a socket at path, which this user has not named. Root may ask the agent of a user whose
// runtime directory he has named.
func trusted(path, runtimeDir string) bool {
	info, err := os.Stat(filepath.Dir(path))
	if err != nil {
		return false
	}
	owner := int(info.Sys().(*syscall.Stat_t).Uid)
	return owner == 0 || owner == os.Geteuid() || os.Geteuid() == 0 && runtimeDir != ""
}

// anAgent returns a client for a command that only an agent can answer.
func anAgent(c *cli.Command) (*control.Client, error) {
	if c.Bool("no-agent") {
		return nil, wrongUse("%s asks the agent: leave --no-agent out", c.Name)
	}
	client, _, err := findAgent(c)
	if err == nil && client == nil {
		err = fmt.Errorf("%w at %s", control.ErrNoAgent, strings.Join(agentSockets(c.String("runtime-dir")), " or "))
	}
	return client, err
}

// ofAgent returns a client of the agent, and the name of the service that is meant.
func ofAgent(ctx context.Context, c *cli.Command) (*control.Client, string, error) {
	name, err := named(c)
	if err != nil {
		return nil, "", err
	}
	client, err := anAgent(c)
	if err != nil || name != "" {
		return client, name, err
	}
	names, err := namesAt(ctx, client)
	if err == nil && len(names) == 0 {
		err = errors.New("the agent keeps no service")
	}
	if err == nil {
		name, err = only(names)
	}
	return client, name, err
}

// keptBy returns the agent that keeps the service that is meant, with the service's name; nil if the service itself is to be asked, because
// there is no agent, or it does not know the service. An agent that turns this user away knows none for him.
func (a *app) keptBy(ctx context.Context, c *cli.Command) (*control.Client, string, error) {
	name, err := named(c)
	if err != nil {
		return nil, "", err
	}
	client, byName, err := findAgent(c)
	if client == nil || err != nil {
		return nil, name, err
	}
	known := false
	if name == "" {
		var names []string
		if names, err = namesAt(ctx, client); err == nil && (len(names) > 0 || byName) {
			known = true
			if !byName {
				names = withOthers(names, c.String("runtime-dir"))
			}
			if name, err = only(names); err != nil {
				return nil, "", err
			}
		}
	} else {
		known, err = knows(ctx, client, name)
	}
	switch {
	case err == nil && known:
		return client, name, nil
	case byName:
		return nil, name, err
	case errors.Is(err, control.ErrDenied):
		a.denied = err
	case err != nil && !errors.Is(err, control.ErrNoAgent) && !errors.Is(err, control.ErrUnknownService):
		return nil, name, failure{error: err, next: "--no-agent asks the service itself"}
	}
	client.Close()
	return nil, name, nil
}

func knows(ctx context.Context, client *control.Client, name string) (bool, error) {
	within, cancel := context.WithTimeout(ctx, questionTimeout)
	defer cancel()
	if _, err := client.Service(within, name); err != nil {
		return false, fmt.Errorf("ask the agent about service %q: %w", name, err)
	}
	return true, nil
}

// namesAt are the services that the agent keeps, in the order in which they start.
func namesAt(ctx context.Context, client *control.Client) ([]string, error) {
	within, cancel := context.WithTimeout(ctx, questionTimeout)
	defer cancel()
	all, err := client.Services(within)
	if err != nil {
		return nil, fmt.Errorf("ask the agent for its services: %w", err)
	}
	names := make([]string, len(all))
	for i, s := range all {
		names[i] = s.Name
	}
	return names, nil
}

// withOthers are names, and the services of the runtime directory that the agent does not keep: the only one is meant of all there are.
func withOthers(names []string, runtimeDir string) []string {
	all, err := service.Names(runtimeDir)
	if err != nil {
		return names // of a directory that may not be read, none could be asked either
	}
	for _, name := range all {
		if name != agent.Name && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// only is the only one of names; empty if there is none.
func only(names []string) (string, error) {
	switch len(names) {
	case 0:
		return "", nil
	case 1:
		return names[0], nil
	}
	err := fmt.Errorf("several services: %q", names)
	return "", failure{error: err, next: "give one of these names, or set HANDOVER_NAME", code: exitUsage}
}

// denial is what the agent said, where the service itself could not be asked either.
func (a *app) denial(err error) error {
	if a.denied != nil && (errors.Is(err, service.ErrNobody) || errors.Is(err, service.ErrNoService) || errors.Is(err, service.ErrDenied)) {
		return a.denied
	}
	return err
}

// namesOf are the services of an agent, for a completion, which has nowhere to say that they cannot be had.
func namesOf(ctx context.Context, c *cli.Command) []string {
	client, _, err := findAgent(c)
	if client == nil || err != nil {
		return nil
	}
	defer client.Close()
	within, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	names, _ := namesAt(within, client)
	return names
}
