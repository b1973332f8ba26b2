//go:build debian

package recipes

import (
	"net"
	"os/exec"
	"syscall"
	"testing"
)

// alone is a program without a keeper, which listens itself.
type alone struct {
	*kept
	command []string
	process *exec.Cmd
}

// startAlone starts a program as its own manual says.
func startAlone(t *testing.T, template string, command ...string) *alone {
	t.Helper()
	a := &alone{kept: prepare(t, template), command: command}
	a.start()
	t.Cleanup(func() { a.stop() })
	return a
}

func (a *alone) start() {
	a.t.Helper()
	var args []string
	for _, arg := range a.command {
		args = append(args, a.filled(arg))
	}
	a.process = exec.CommandContext(a.ctx, args[0], args[1:]...)
	a.process.Dir = a.release(1)
	must(a.t, a.process.Start())
	a.answers()
}

func (a *alone) answers() {
	a.t.Helper()
	a.eventually("connection", func() bool {
		c, err := net.Dial("tcp", a.address)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
}

func (a *alone) stop() {
	a.t.Helper()
	a.signal(syscall.SIGTERM)
	_ = a.process.Wait()
}

// restart is what "systemctl restart" does.
func (a *alone) restart() {
	a.stop()
	a.start()
}

func (a *alone) signal(s syscall.Signal) {
	a.t.Helper()
	must(a.t, a.process.Process.Signal(s))
}

// TestWhatProgramsLoseOnTheirOwnIsMeasured replaces each program by its own means under the loads of the tests of recipes. It holds them to
// nothing but that they answer again.
func TestWhatProgramsLoseOnTheirOwnIsMeasured(t *testing.T) {
	gunicornAlone := append(gunicorn[:len(gunicorn):len(gunicorn)], "--bind", "127.0.0.1:PORT")
	nodeAlone := append(node[:len(node):len(node)], "PORT")
	nginxAlone := []string{"nginx", "-p", "PREFIX", "-c", "PREFIX/1/nginx.conf", "-g", "daemon off;"}
	jvmAlone := []string{"java", "-cp", ".", "Server", "PORT"}
	restart := (*alone).restart
	reload := func(a *alone) { a.signal(syscall.SIGHUP) }
	for _, c := range []struct {
		name, template string
		command        []string
		replace        func(*alone)
	}{
		{"gunicorn, SIGHUP", "app.py", without(gunicornAlone, "--preload"), reload},
		{"gunicorn, restart", "app.py", gunicornAlone, restart},
		{"Node, restart", "server.js", nodeAlone, restart},
		{"nginx -s reload", "nginx.conf", nginxAlone, reload},
		{"nginx, restart", "nginx.conf", nginxAlone, restart},
		{"JVM, restart", "Server.java", jvmAlone, restart},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			a := startAlone(t, c.template, c.command...)
			clients := slowOnesToo
			if c.template == "nginx.conf" {
				clients = everyRequest
			}
			d := a.drive(clients)
			for range rounds() {
				c.replace(a)
				must(t, d.WaitAnswers(a.ctx, 100))
			}
			record(t, c.name, rounds(), d.Stop())
		})
	}
}

// without leaves out one argument: an application that was loaded before its workers is not loaded anew by SIGHUP.
func without(args []string, left string) (kept []string) {
	for _, arg := range args {
		if arg != left {
			kept = append(kept, arg)
		}
	}
	return kept
}
