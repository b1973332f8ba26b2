package config

import (
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
)

// identity is as whom a service runs, which only root can choose.
func (v *validation) identity(s *Service, field string) {
	own := strconv.Itoa(v.uid)
	uid, ok := own, true
	if s.User != "" {
		if uid, ok = v.user(field+".user", s.User); ok && uid != own && own != "0" {
			v.fault(field+".user", fmt.Sprintf("%q", s.User), "only an agent of root can start a service of another user: leave it out")
		}
	}
	if ok && (s.User != "" || len(s.Groups) > 0) { // its takeover socket lies in a directory of that user's, beside the control socket
		v.socket(field+".name", filepath.Join(filepath.Dir(v.c.Control.Socket), "uid-"+uid, s.Name+".sock"))
	}
	for i, g := range s.Groups {
		v.group(fmt.Sprintf("%s.groups[%d]", field, i), g)
	}
	if len(s.Groups) > 0 && v.uid != 0 {
		v.fault(field+".groups", "", "only an agent of root can give groups: leave it out")
	}
}

// user is a name or a number; a number needs no entry.
func (v *validation) user(field, name string) (uid string, ok bool) {
	if _, err := strconv.ParseUint(name, 10, 32); err == nil {
		return name, true
	}
	u, err := user.Lookup(name)
	if err != nil {
		v.fault(field, fmt.Sprintf("%q", name), "this host has no such user: give one it has, or a number")
		return "", false
	}
	return u.Uid, true
}

func (v *validation) group(field, name string) {
	if _, err := strconv.ParseUint(name, 10, 32); err == nil {
		return
	}
	if _, err := user.LookupGroup(name); err != nil {
		v.fault(field, fmt.Sprintf("%q", name), "this host has no such group: give one it has, or a number")
	}
}

func (v *validation) number(field, given, text string) {
	if _, err := strconv.ParseUint(text, 10, 32); err != nil {
		v.fault(field, fmt.Sprintf("%q", given), "give a number after the colon")
	}
}

// file must be there, and be one.
func (v *validation) file(field, path string) (fs.FileInfo, bool) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		v.fault(field, fmt.Sprintf("%q", path), "cannot be read: "+cause(err))
	case !info.Mode().IsRegular():
		v.fault(field, fmt.Sprintf("%q", path), "give a regular file")
	default:
		return info, true
	}
	return nil, false
}

func (v *validation) executable(field, path string) {
	if info, ok := v.file(field, path); ok && info.Mode().Perm()&0o111 == 0 {
		v.fault(field, fmt.Sprintf("%q", path), "is not executable: chmod +x it, or give another")
	}
}

// secret must be for its owner and its group alone. What lies in it is never told.
func (v *validation) secret(field, path string) {
	info, ok := v.file(field, path)
	switch {
	case !ok:
	case info.Mode().Perm()&0o007 != 0:
		v.fault(field, fmt.Sprintf("%q", path), fmt.Sprintf("has mode %#o, everyone can reach it: chmod o= it", info.Mode().Perm()))
	case info.Size() == 0:
		v.fault(field, fmt.Sprintf("%q", path), "is empty: put the secret into it")
	}
}

// keys is a file with a public key, or a directory of such.
func (v *validation) keys(field, path string) {
	info, err := os.Stat(path)
	if err != nil || !info.IsDir() {
		v.file(field, path)
		return
	}
	if found, _ := filepath.Glob(filepath.Join(path, "*.pub")); len(found) == 0 {
		v.fault(field, fmt.Sprintf("%q", path), "has no file *.pub: put the public keys into it")
	}
}

// cause leaves out what the fault says already.
func cause(err error) string {
	if e, ok := err.(*fs.PathError); ok { //nolint:errorlint // os.Stat gives it as it is
		err = e.Err
	}
	return err.Error()
}
