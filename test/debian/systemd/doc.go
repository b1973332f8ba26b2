// Package systemd tests services that a real systemd runs: booted for each test, in namespaces of its own, from a tree of
// Debian's packages. The tree is made once, in $HANDOVER_SYSTEMD_ROOT or else the directory for temporary files, and is
// not written to afterwards. The units are those in deploy/systemd,
// the package of the agent is that of deploy/debian.
package systemd
