package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/handover-go/handover/host/audit"
	"github.com/handover-go/handover/host/control"
	"github.com/handover-go/handover/host/internal/plain"
)

func (a *app) audit() *cli.Command {
	return &cli.Command{
		Name: "audit", Usage: "show who asked the agent of this host for what, or verify that log",
		Description: "Reads the file, which takes its owner or root; with --agent it asks that agent, which takes the role admin.",
		Flags: []cli.Flag{
			auditFile(),
			&cli.IntFlag{Name: "limit", Value: 100, Usage: "the newest so many records, from 1 to 1000"},
			&cli.StringFlag{Name: "service", Usage: "only records of the service of that `NAME`"},
			outputFlag("table"),
		},
		Commands: []*cli.Command{a.auditVerify()},
		Action: func(ctx context.Context, c *cli.Command) error {
			if err := nothing(c); err != nil {
				return err
			}
			if n := c.Int("limit"); n < 1 || n > 1000 {
				return wrongUse("audit: --limit %d: give 1 to 1000", n)
			}
			page, err := auditPage(ctx, c)
			if err != nil {
				return err
			}
			if asJSON(c) {
				return writeJSON(a.stdout, page)
			}
			return writeRecords(a.stdout, page.Records)
		},
	}
}

// auditPage is the newest records of the log: of the agent that is named, or of the file.
func auditPage(ctx context.Context, c *cli.Command) (control.AuditPage, error) {
	limit, of := c.Int("limit"), c.String("service")
	if c.String("agent") != "" && !c.IsSet("file") {
		client, err := anAgent(c)
		if err != nil {
			return control.AuditPage{}, err
		}
		defer client.Close()
		within, cancel := context.WithTimeout(ctx, questionTimeout)
		defer cancel()
		page, err := client.Audit(within, limit, 0, of)
		if err != nil {
			err = fmt.Errorf("ask the agent for its audit log: %w", err)
		}
		return page, err
	}
	path, err := auditPath(c.String("file"))
	if err != nil {
		return control.AuditPage{}, err
	}
	records, err := audit.Read(path, audit.Query{Limit: limit, Service: of})
	if err != nil {
		return control.AuditPage{}, auditFailure(err)
	}
	page := control.AuditPage{Records: append([]audit.Record{}, records...)}
	if n := len(records); n > 0 {
		page.Head = audit.Head{Seq: records[n-1].Seq, Hash: records[n-1].Hash}
	}
	return page, nil
}

func (a *app) auditVerify() *cli.Command {
	return &cli.Command{
		Name: "verify", ArgsUsage: "[FILE]", Usage: "find out whether the audit log is as it was written",
		Description: "Finds records that were edited, removed, inserted or put elsewhere, and says where; then it ends with 1. Whoever can " +
			"write the log can write all of it anew: that shows only against the hash of a record that was noted elsewhere, given by --head.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "head", Usage: "`HASH` of a record that must be in the log"},
			&cli.Uint64Flag{Name: "from", Value: 1, Usage: "`NUMBER` of the first record, where older files were moved away"},
			outputFlag("text"),
		},
		Action: func(_ context.Context, c *cli.Command) error {
			file, err := one(c, "file")
			if err != nil {
				return err
			}
			path, err := auditPath(cmp.Or(file, c.String("file")))
			if err != nil {
				return err
			}
			report, err := audit.Verify(path, audit.Expectation{Head: c.String("head"), From: c.Uint64("from")})
			if err != nil && !errors.Is(err, audit.ErrBroken) {
				return auditFailure(err)
			}
			if asJSON(c) {
				return errors.Join(auditFailure(err), writeJSON(a.stdout, report))
			}
			return errors.Join(auditFailure(err), writeReport(a.stdout, report))
		},
	}
}

func auditFile() cli.Flag {
	return &cli.StringFlag{
		Name: "file", Usage: "the `FILE` of the log that is written now", TakesFile: true,
		DefaultText: "agent/audit.log below the state directory, which is /var/lib/handover for root",
	}
}

// auditPath is where the log lies: file, or where the agent of this user writes it.
func auditPath(file string) (string, error) {
	if file != "" {
		return filepath.Abs(file)
	}
	dir, err := stateDir("")
	if err != nil {
		return "", failure{error: err, next: "name the log by --file"}
	}
	return filepath.Join(dir, "agent", "audit.log"), nil
}

// auditFailure gives an error of the log its remedy.
func auditFailure(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, audit.ErrBroken):
		return failure{error: err, next: "the lines above say where; compare with a copy, and find out who could write there"}
	case errors.Is(err, fs.ErrNotExist):
		return failure{error: err, next: "name the log by --file; an agent writes one as soon as it is asked to change something"}
	case errors.Is(err, fs.ErrPermission):
		return failure{error: err, next: "read the log as its owner or as root", code: exitDenied}
	}
	return failure{error: err, next: "see that it is the audit log of an agent"}
}

func writeReport(w io.Writer, r audit.Report) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	verdict := "as it was written"
	if len(r.Faults) > 0 {
		verdict = "broken, " + counted(len(r.Faults), "fault")
	}
	fmt.Fprintf(t, "log\t%s\n", verdict)
	fmt.Fprintf(t, "records\t%d, from %d to %d, in %s\n", r.Records, r.First, r.Head.Seq, counted(len(r.Files), "file"))
	fmt.Fprintf(t, "head\t%s\n", r.Head.Hash)
	fmt.Fprintf(t, "held to\t%s\n", map[string]string{
		"given": "the head that was given", "head file": "the head file beside it", "none": "its own chain alone: records cut off the end are not missed",
	}[r.Anchor])
	if r.Torn > 0 {
		fmt.Fprintf(t, "torn\t%s left unfinished by a crash, and told by the log\n", counted(r.Torn, "record"))
	}
	if r.Unfinished {
		fmt.Fprintf(t, "end\tan unfinished record: a crash, or one that is being written\n")
	}
	for _, f := range r.Faults {
		fmt.Fprintf(t, "fault\t%s\n", harmless(f.String()))
	}
	return t.Flush()
}

func writeRecords(w io.Writer, all []audit.Record) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, r := range all {
		fmt.Fprintf(t, "%d\t%s\t%s\t%s\t%s\n", r.Seq, r.At.Format(time.RFC3339), who(r.Who), harmless(what(r.What)), harmless(outcomeText(r)))
	}
	return t.Flush()
}

func who(w audit.Who) string {
	if w.Peer != nil {
		return fmt.Sprintf("%s uid:%d pid:%d", harmless(w.Role), w.Peer.UID, w.Peer.PID)
	}
	return harmless(strings.TrimSpace(w.Role + " " + w.Subject))
}

// what was asked for, such as "POST services/shop/upgrade release=1.2.0".
func what(w audit.What) string {
	route := strings.NewReplacer("/v1/", "", "{name}", w.Service, "{service}", w.Service).Replace(w.Route)
	text := w.Method + " " + route
	for _, name := range slices.Sorted(maps.Keys(w.Args)) {
		text += " " + name + "=" + w.Args[name]
	}
	return text
}

func outcomeText(r audit.Record) string {
	var all []string
	switch {
	case r.Outcome.Status != 0:
		all = append(all, fmt.Sprint(r.Outcome.Status))
	case r.Outcome.Error == "": // the log's own records have one
		all = append(all, "begins")
	}
	for _, text := range []string{r.Outcome.Code, r.Outcome.Detail, r.Outcome.Error} {
		if text != "" {
			all = append(all, text)
		}
	}
	if r.Of > 0 {
		all = append(all, fmt.Sprintf("(began with %d)", r.Of))
	}
	if r.Repeats > 0 {
		all = append(all, fmt.Sprintf("(%d more denials left out before)", r.Repeats))
	}
	if r.Missed > 0 {
		all = append(all, fmt.Sprintf("(%s could not be written before)", counted(r.Missed, "record")))
	}
	return strings.Join(all, " ")
}

// harmless is a text that a stranger may have chosen, on one line.
func harmless(s string) string { return plain.Line(s) }
