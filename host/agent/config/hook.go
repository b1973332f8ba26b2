package config

import "time"

// Hook is run at phases of an upgrade: a program, or a POST to a URL.
type Hook struct {
	// Name of the hook in history. Default: that of its program, or the host of its URL.
	Name string `yaml:"name"`
	// On lists the phases: before (nothing was changed yet), switched (the successor serves), committed (it is final), kept (the bake time ended
	// well), returned (the release before serves again) and failed. Needed.
	On []string `yaml:"on"`
	// Exec is a program and its arguments, by absolute path. Either it or URL is needed.
	Exec []string `yaml:"exec"`
	// URL is sent what happened, by POST.
	URL string `yaml:"url"`
	// Secret is a file with the key that signs what is sent to URL; a file that everyone can reach is refused.
	// Default: not signed.
	Secret string `yaml:"secret"`
	// Timeout bounds the hook with all its attempts. Default 30s.
	Timeout time.Duration `yaml:"timeout" default:"30s"`
	// Attempts is how many times a URL is tried at most when it cannot be reached, or answers 429 or 5xx. Default 3.
	Attempts int `yaml:"attempts" default:"3"`
	// Veto lets the hook refuse the upgrade: with an exit other than 0, or with 403 or 409. Only for the phase before. Default false.
	Veto bool `yaml:"veto"`
	// Failure says what it means when a hook with Veto cannot say: veto or ignore. Default veto.
	Failure string `yaml:"failure"`
}

// Phases of an upgrade at which hooks are run.
const (
	Before    = "before"
	Switched  = "switched"
	Committed = "committed"
	Kept      = "kept"
	Returned  = "returned"
	Failed    = "failed"
)

var phases = []string{Before, Switched, Committed, Kept, Returned, Failed}

// What Hook.Failure can be.
const (
	FailureVetoes  = "veto"
	FailureIgnored = "ignore"
)
