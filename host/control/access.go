package control

import (
	"crypto/x509"
	"fmt"
	"os"
	"os/user"
	"slices"
	"strconv"
	"strings"
)

// Access says who has which role. An entry is one of
//
//	uid:1000      gid:27         numbers, as SO_PEERCRED tells them
//	user:deploy   group:ops      names, looked up when the server is given them
//	cn:deployer   uri:spiffe://… the subject's common name, or a URI of the subject's alternative names, of a verified certificate
//
// Root and the agent's own user are admin whatever it says: they can do without the agent all that it can. Nobody else
// has a role who is not named. Of several roles the highest holds.
type Access struct {
	Admins    []string
	Operators []string
	Viewers   []string
}

// Validate names the first entry that is none, or whose name this host does not know.
func (a Access) Validate() error {
	_, err := a.compile()
	return err
}

// grants is Access with every name looked up.
type grants struct {
	uids, gids map[int]Role
	subjects   map[string]Role // cn:… and uri:…
}

func (a Access) compile() (*grants, error) {
	g := &grants{uids: map[int]Role{}, gids: map[int]Role{}, subjects: map[string]Role{}}
	for _, list := range []struct {
		role    Role
		name    string
		entries []string
	}{{Viewer, "viewers", a.Viewers}, {Operator, "operators", a.Operators}, {Admin, "admins", a.Admins}} {
		for _, entry := range list.entries {
			if err := g.add(entry, list.role); err != nil {
				return nil, fmt.Errorf("access: %s: %q: %w", list.name, entry, err)
			}
		}
	}
	g.uids[0], g.uids[os.Geteuid()] = Admin, Admin
	return g, nil
}

// add is called in the order of roles, so that the highest stays.
func (g *grants) add(entry string, role Role) error {
	kind, value, _ := strings.Cut(entry, ":")
	if value == "" {
		return fmt.Errorf("give uid:N, gid:N, user:NAME, group:NAME, cn:NAME or uri:URI")
	}
	into := g.uids
	switch kind {
	case "uid":
	case "gid":
		into = g.gids
	case "user":
		u, err := user.Lookup(value)
		if err != nil {
			return err
		}
		value = u.Uid
	case "group":
		u, err := user.LookupGroup(value)
		if err != nil {
			return err
		}
		value, into = u.Gid, g.gids
	case "cn", "uri":
		g.subjects[entry] = role
		return nil
	default:
		return fmt.Errorf("give uid:N, gid:N, user:NAME, group:NAME, cn:NAME or uri:URI")
	}
	id, err := strconv.ParseUint(value, 10, 31)
	if err != nil {
		return fmt.Errorf("give a number from 0 to 2147483647")
	}
	into[int(id)] = role
	return nil
}

// ofPeer is the role of a process. groups are asked for only where a group has a role.
func (g *grants) ofPeer(uid, gid int, groups func() []int) Role {
	role := max(g.uids[uid], g.gids[gid])
	if len(g.gids) > 0 && role < Admin {
		for _, also := range groups() {
			role = max(role, g.gids[also])
		}
	}
	return role
}

// ofCertificate is the role of a verified certificate, and the name by which it has it; without a role, its first name.
func (g *grants) ofCertificate(c *x509.Certificate) (role Role, subject string) {
	var names []string
	for _, uri := range c.URIs {
		names = append(names, "uri:"+uri.String())
	}
	if c.Subject.CommonName != "" {
		names = append(names, "cn:"+c.Subject.CommonName)
	}
	if len(names) == 0 {
		return None, "serial:" + c.SerialNumber.String()
	}
	best := slices.MaxFunc(names, func(a, b string) int { return int(g.subjects[a] - g.subjects[b]) })
	return g.subjects[best], best
}

// groupsOf are the groups that a user is a member of by the host's database. A process that has given some up keeps them here.
func groupsOf(uid int) []int {
	u, err := user.LookupId(strconv.Itoa(uid))
	if err != nil {
		return nil // a user without a name has no groups
	}
	ids, err := u.GroupIds()
	if err != nil {
		return nil
	}
	var all []int
	for _, id := range ids {
		if n, err := strconv.Atoi(id); err == nil {
			all = append(all, n)
		}
	}
	return all
}
