package keeper

import (
	"strings"
	"syscall"
	"testing"
)

func TestProcessesOfNginxAreKnownByTheirTitles(t *testing.T) {
	for title, want := range map[string]role{
		"nginx: master process /var/lib/handover/web/nginx/program -c nginx.conf": master,
		"angie: master process v1.8.0 #1 [/usr/sbin/angie]":                       master,
		"nginx: worker process":                                 worker,
		"nginx: worker process is shutting down":                retired,
		"nginx: cache manager process":                          retired,
		"nginx: cache loader process":                           retired,
		"/var/lib/handover/web/nginx/program -c worker process": other,
		"": other,
	} {
		if got := roleOf(title); got != want {
			t.Errorf("%q: %d, want %d", title, got, want)
		}
	}
}

func TestHowAProgramIsReplacedIsChecked(t *testing.T) {
	for _, c := range []struct {
		config Config
		want   syscall.Signal
		fault  string
	}{
		{Config{}, syscall.SIGTERM, ""},
		{Config{Listen: []string{":80"}}, syscall.SIGTERM, ""},
		{Config{Listen: []string{":80"}, StopSignal: syscall.SIGINT}, syscall.SIGINT, ""},
		{Config{Listen: []string{":80"}, Strategy: Nginx}, syscall.SIGQUIT, ""},
		{Config{Listen: []string{":80"}, Strategy: Nginx, StopSignal: syscall.SIGTERM}, syscall.SIGTERM, ""},
		{Config{Listen: []string{":80"}, Strategy: "apache"}, 0, `"apache"`},
		{Config{Listen: []string{":80", "/run/web"}, Strategy: Nginx}, 0, "give host:port"},
		{Config{Strategy: Nginx}, 0, "Config.Listen"},
		{Config{StopSignal: syscall.SIGQUIT}, 0, "Config.Listen"},
	} {
		err := c.config.replacing()
		switch {
		case c.fault != "":
			if err == nil || !strings.Contains(err.Error(), c.fault) {
				t.Errorf("%+v: %v, want %q", c.config, err, c.fault)
			}
		case err != nil || c.config.StopSignal != c.want:
			t.Errorf("%+v: %s, %v, want %s", c.config, c.config.StopSignal, err, c.want)
		}
	}
}

func TestStopSignalsAreReadByName(t *testing.T) {
	for name, want := range endings {
		for _, text := range []string{name, "SIG" + name, strings.ToLower(name)} {
			if got, err := ParseSignal(text); got != want || err != nil {
				t.Errorf("%q: %s, %v", text, got, err)
			}
		}
	}
	if _, err := ParseSignal("KILL"); err == nil || !strings.Contains(err.Error(), "QUIT, TERM") {
		t.Errorf("%v", err)
	}
}
