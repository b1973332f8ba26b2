package subject

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/handover-go/handover/bench/service"
)

// In both configurations, {listen} and {service} are addresses, {drain} is a time with its unit, and {dir} belongs to the subject.
const nginxConfig = `daemon off;
user root;
pid nginx.pid;
error_log stderr error;
worker_processes auto;
worker_shutdown_timeout {drain};
events { worker_connections 1024; }
http {
  access_log off;
  keepalive_requests 1000000;
  client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  upstream service { server {service}; keepalive 64; keepalive_requests 1000000; }
  server {
    listen {listen};
    location / { proxy_pass http://service; proxy_http_version 1.1; proxy_set_header Connection ""; }
  }
}
`

const haproxyConfig = `global
  master-worker
  stats socket {dir}/stats.sock mode 600 level admin expose-fd listeners
  hard-stop-after {drain}
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
frontend service
  bind {listen}
  default_backend service
backend service
  server service {service}
`

// wrongConfig is a build of a proxy that exits at once.
const wrongConfig = "this is no configuration\n"

var number = regexp.MustCompile(`[0-9]+\.[0-9]+\.[0-9]+`)

// nginxReload takes a new configuration, with new workers: SIGHUP.
func nginxReload() *Subject {
	return nginx("nginx reload", "SIGHUP", []service.Fault{service.Exits}, func(_ context.Context, r *Running) error {
		return syscall.Kill(r.root, syscall.SIGHUP)
	})
}

// nginxBinary starts a new master, and ends the old one when the new one has written its pid: SIGUSR2, then SIGQUIT.
func nginxBinary() *Subject {
	s := nginx("nginx binary upgrade", "SIGUSR2, then SIGQUIT to the old master", nil, func(ctx context.Context, r *Running) error {
		file := filepath.Join(r.dir, "nginx.pid")
		old, err := readPID(file)
		if err != nil {
			return err
		}
		if err := syscall.Kill(old, syscall.SIGUSR2); err != nil {
			return err
		}
		err = poll(ctx, func() (bool, error) {
			now, err := readPID(file)
			return err == nil && now != old, nil
		})
		if err != nil {
			return fmt.Errorf("await the new master: %w", err)
		}
		return syscall.Kill(old, syscall.SIGQUIT)
	})
	s.prepare = orphaned(s.prepare)
	s.Twin = true
	s.serving = nil // the old master goes as well
	return s
}

// orphaned starts a command by a shell that ends when there is a pid file: nginx ignores SIGUSR2 as long as the process that
// started it is its parent.
func orphaned(prepare func(*Running) (*exec.Cmd, error)) func(*Running) (*exec.Cmd, error) {
	return func(r *Running) (*exec.Cmd, error) {
		cmd, err := prepare(r)
		if err != nil {
			return nil, err
		}
		const script = `"$@" & while kill -0 $! && ! [ -s nginx.pid ]; do sleep 0.01; done`
		return exec.Command("/bin/sh", append([]string{"-c", script, "sh"}, cmd.Args...)...), nil
	}
}

func nginx(name, how string, faults []service.Fault, trigger func(context.Context, *Running) error) *Subject {
	return &Subject{
		Name: name, How: how, Faults: faults, Proxy: true, program: "nginx", version: number, serving: others, trigger: trigger,
		prepare: func(r *Running) (*exec.Cmd, error) {
			path, err := find("nginx")
			if err != nil {
				return nil, err
			}
			return exec.Command(path, "-p", r.dir, "-c", "proxy.conf", "-e", "stderr"), nil
		},
		install: installConfig(nginxConfig),
	}
}

// haproxy re-executes its master, which takes the listening sockets from the worker before: SIGUSR2.
func haproxy() *Subject {
	return &Subject{
		Name: "HAProxy reload", How: "SIGUSR2 to the master", Faults: []service.Fault{service.Exits}, Proxy: true,
		program: "haproxy", version: number, serving: others,
		prepare: func(r *Running) (*exec.Cmd, error) {
			path, err := find("haproxy")
			if err != nil {
				return nil, err
			}
			return exec.Command(path, "-W", "-db", "-C", r.dir, "-f", "proxy.conf"), nil
		},
		install: installConfig(haproxyConfig),
		trigger: func(_ context.Context, r *Running) error { return syscall.Kill(r.root, syscall.SIGUSR2) },
	}
}

func installConfig(config string) func(*Running, service.Fault) error {
	return func(r *Running, f service.Fault) error {
		text := wrongConfig
		if f == service.Good {
			text = strings.NewReplacer("{listen}", r.Address, "{service}", r.backend.Address, "{dir}", r.dir,
				"{drain}", fmt.Sprintf("%.0fs", service.DrainTimeout.Seconds())).Replace(config)
		}
		return os.WriteFile(filepath.Join(r.dir, "proxy.conf"), []byte(text), 0o600)
	}
}

func readPID(path string) (int, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(text)))
}

// poll asks until it is so, where nothing tells when.
func poll(ctx context.Context, so func() (bool, error)) error {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		if ok, err := so(); ok || err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
