package config

import (
	"cmp"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"time"
)

// withDefaults returns c with every open field filled, for an agent of a user. Those with a constant for a default have it as their tag.
func (c Config) withDefaults(uid int) Config {
	home, _ := os.UserHomeDir()
	runtime, state := "/run/handover", "/var/lib/handover"
	if uid != 0 {
		runtime = filepath.Join(cmp.Or(os.Getenv("XDG_RUNTIME_DIR"), fmt.Sprintf("%s/handover-%d", os.TempDir(), uid)), "handover")
		state = filepath.Join(cmp.Or(os.Getenv("XDG_STATE_HOME"), filepath.Join(home, ".local/state")), "handover")
	}
	c.Runtime, c.State = cmp.Or(c.Runtime, runtime), cmp.Or(c.State, state)
	log := "/var/log/handover"
	if uid != 0 {
		log = filepath.Join(c.State, "log")
	}
	c.Log = cmp.Or(c.Log, log)
	c.Control.Socket = cmp.Or(c.Control.Socket, filepath.Join(c.Runtime+"-agent", "agent.sock"))
	for i := range c.Services {
		c.Services[i].fill()
	}
	return c
}

func (s *Service) fill() {
	fill(reflect.ValueOf(s).Elem())
	if s.Policy.DrainTimeout == 0 {
		s.Policy.DrainTimeout = time.Hour
		if len(s.Listen) > 0 {
			s.Policy.DrainTimeout = 30 * time.Second
		}
	}
	count := map[string]int{}
	for i := range s.Checks {
		c := &s.Checks[i]
		c.Timeout = cmp.Or(c.Timeout, min(5*time.Second, c.Interval))
		if kind := c.Kind(); c.Name == "" {
			if c.Name = kind; count[kind] > 0 {
				c.Name = fmt.Sprintf("%s-%d", kind, count[kind]+1)
			}
			count[kind]++
		}
	}
	for i := range s.Hooks {
		h := &s.Hooks[i]
		if len(h.Exec) > 0 {
			h.Name = cmp.Or(h.Name, filepath.Base(h.Exec[0]))
		}
		h.Name = cmp.Or(h.Name, host(h.URL))
		if h.Veto {
			h.Failure = cmp.Or(h.Failure, FailureVetoes)
		}
	}
}

// fill sets what is zero and has a default in its tag, in a struct and all that it holds.
func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Struct {
			for i := range v.Len() {
				fill(v.Index(i))
			}
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if d := v.Type().Field(i).Tag.Get("default"); d != "" && v.Field(i).IsZero() {
				if err := set(v.Field(i), d); err != nil {
					panic("default of " + v.Type().Field(i).Name + ": " + err.Error()) // a tag of ours is wrong; a test reads them all
				}
				continue
			}
			fill(v.Field(i))
		}
	}
}

// validation finds what is wrong with a Config that was read.
type validation struct {
	*tree
	c         *Config
	uid       int               // of the agent
	names     map[string]string // of services, and the field where each was given
	addresses map[string]string
}

func newValidation(t *tree, c *Config, uid int) *validation {
	return &validation{tree: t, c: c, uid: uid, names: map[string]string{}, addresses: map[string]string{}}
}

func (v *validation) config() {
	v.absolute("runtime", v.c.Runtime)
	v.absolute("state", v.c.State)
	v.absolute("log", v.c.Log)
	v.control(v.c.Control)
	for i := range v.c.Services {
		v.name(&v.c.Services[i], fmt.Sprintf("services[%d]", i))
	}
	for i := range v.c.Services {
		v.service(&v.c.Services[i], fmt.Sprintf("services[%d]", i))
	}
	v.order()
}

func (v *validation) control(c Control) {
	if v.absolute("control.socket", c.Socket) {
		v.socket("control.socket", c.Socket)
	}
	files := []struct{ field, path string }{
		{"control.tls.certificate", c.TLS.Certificate}, {"control.tls.key", c.TLS.Key}, {"control.tls.clients", c.TLS.Clients},
	}
	if c.Listen == "" && c.TLS != (TLS{}) {
		v.fault("control.tls", "", "give control.listen too, or leave it out")
	}
	if c.Listen != "" {
		v.hostPort("control.listen", c.Listen)
		v.taken("control.listen", c.Listen)
		for _, f := range files {
			if f.path == "" {
				v.fault(f.field, "", "missing: control.listen needs it, as clients are told by their certificates")
			}
		}
	}
	for _, f := range files {
		if f.path != "" && v.absolute(f.field, f.path) {
			v.file(f.field, f.path)
		}
	}
	if c.TLS.Key != "" {
		v.secret("control.tls.key", c.TLS.Key)
	}
	v.access("control.access.admins", c.Access.Admins)
	v.access("control.access.operators", c.Access.Operators)
	v.access("control.access.viewers", c.Access.Viewers)
}

func (v *validation) access(field string, all []string) {
	for i, who := range all {
		kind, name, _ := strings.Cut(who, ":")
		one := fmt.Sprintf("%s[%d]", field, i)
		switch {
		case name == "":
			kind = ""
		case kind == "user":
			v.user(one, name)
		case kind == "group":
			v.group(one, name)
		}
		switch kind {
		case "user", "group", "cn", "uri":
		case "uid", "gid":
			v.number(one, who, name)
		default:
			v.fault(one, fmt.Sprintf("%q", who), "give user:NAME, group:NAME, uid:NUMBER, gid:NUMBER, cn:NAME or uri:URI")
		}
	}
}

// absolute reports whether a path is one. An empty one is none, and no fault.
func (v *validation) absolute(field, path string) bool {
	if path == "" || filepath.IsAbs(path) {
		return path != ""
	}
	v.fault(field, fmt.Sprintf("%q", path), "give an absolute path")
	return false
}

// maxSocket is what fits into sun_path with its terminating zero (unix(7)).
const maxSocket = 107

func (v *validation) socket(field, path string) {
	if len(path) > maxSocket {
		v.fault(field, fmt.Sprintf("%q", path), fmt.Sprintf("%d bytes: the path of a socket may have %d, give a shorter one", len(path), maxSocket))
	}
}

// address is HOST:PORT, :PORT or the path of a unix socket.
func (v *validation) address(field, address string) {
	if strings.ContainsRune(address, '/') {
		if v.absolute(field, address) {
			v.socket(field, address)
		}
		return
	}
	v.hostPort(field, address)
}

func (v *validation) hostPort(field, address string) {
	_, port, err := net.SplitHostPort(address)
	if err == nil {
		_, err = net.LookupPort("tcp", port)
	}
	if err != nil || port == "" {
		v.fault(field, fmt.Sprintf("%q", address), "give HOST:PORT or :PORT, with a port up to 65535")
	}
}

// taken finds an address that was given before.
func (v *validation) taken(field, address string) {
	if before, twice := v.addresses[address]; twice {
		v.fault(field, fmt.Sprintf("%q", address), "listened at by "+before+": give another")
		return
	}
	v.addresses[address] = field
}

func (v *validation) among(field, word string, known []string) {
	for _, k := range known {
		if k == word {
			return
		}
	}
	v.fault(field, fmt.Sprintf("%q", word), oneOf(word, known))
}
