package preflight

import (
	"errors"
	"fmt"
	"strings"
)

// ErrUnfit: the build must not be started; the *Unfit that says so lists why.
var ErrUnfit = errors.New("unfit to be started")

// Unfit is the error of Check.
type Unfit struct {
	Path     string    // as it was given to Check
	Findings []Finding // at least one
}

func (u *Unfit) Error() string {
	all := make([]string, len(u.Findings))
	for i, f := range u.Findings {
		all[i] = f.Error()
	}
	return fmt.Sprintf("check build %q: %v: %s", u.Path, ErrUnfit, strings.Join(all, "; "))
}

// Unwrap makes errors.Is find ErrUnfit and the cause of each finding, such as fs.ErrNotExist.
func (u *Unfit) Unwrap() []error {
	all := []error{ErrUnfit}
	for _, f := range u.Findings {
		all = append(all, f)
	}
	return all
}

// Finding is one thing that is wrong, or, as a warning, may be.
type Finding struct {
	Where string // a file, or "this process", "this machine", a control group
	What  string // a predicate: "is empty"
	Do    string // the next step, as an imperative
	Err   error  // the cause, if there is one
}

func (f Finding) Error() string { return fmt.Sprintf("%q %s: %s", f.Where, f.What, f.Do) }

// Unwrap returns the cause.
func (f Finding) Unwrap() error { return f.Err }
