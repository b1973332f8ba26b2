package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/urfave/cli/v3"

	"github.com/handover-go/handover/host/agent/config"
)

func (a *app) agentCheck() *cli.Command {
	return &cli.Command{
		Name: "check", ArgsUsage: "[FILE]", Usage: "find what is wrong with a configuration",
		Description: "Tells every fault at once, each with its place and what was expected there. An agent would refuse a file with any. Nothing is changed, and no " +
			"agent is asked.",
		Flags: []cli.Flag{outputFlag("text")},
		Action: func(_ context.Context, c *cli.Command) error {
			file, err := one(c, "file")
			if err != nil {
				return err
			}
			path, err := configPath()
			if path = cmp.Or(file, c.String("config"), path); path == "" {
				return err
			}
			found, err := config.Load(path)
			var faults config.Faults
			if err != nil && !errors.As(err, &faults) {
				return failure{error: err, next: "name the file, or read it as its owner or as root"}
			}
			switch {
			case asJSON(c):
				return errors.Join(err, writeJSON(a.stdout, examinationOf(path, len(found.Services), faults)))
			case err != nil:
				return err
			}
			_, err = fmt.Fprintf(a.stdout, "%s: %s, no fault\n", path, counted(len(found.Services), "service"))
			return err
		},
	}
}

// examination is a configuration that was checked, as JSON.
type examination struct {
	File     string      `json:"file"`
	Services int         `json:"services"` // 0 if there are faults
	Faults   []fileFault `json:"faults"`
}

// fileFault is a fault of a configuration, as JSON.
type fileFault struct {
	File     string `json:"file"` // or the environment variable that holds it
	Line     int    `json:"line,omitempty"`
	Column   int    `json:"column,omitempty"`
	Field    string `json:"field,omitempty"`
	Given    string `json:"given,omitempty"`
	Expected string `json:"expected"`
}

func examinationOf(path string, services int, faults config.Faults) examination {
	e := examination{File: path, Services: services, Faults: []fileFault{}}
	for _, f := range faults {
		e.Faults = append(e.Faults, fileFault(f))
	}
	return e
}
