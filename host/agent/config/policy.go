package config

import "time"

// Policy says how long the steps of a service's upgrades may take, and what of a release is too much.
type Policy struct {
	// ReadyTimeout is how long a successor may take until it is ready. Default 1m.
	ReadyTimeout time.Duration `yaml:"ready_timeout" default:"1m" needs:"stop"`
	// FreezeTimeout is how long the pause before the commit may be. Default 5s.
	FreezeTimeout time.Duration `yaml:"freeze_timeout" default:"5s" needs:"upgrade"`
	// Probation is how long the generation before stands by after the commit. Default 10s.
	Probation time.Duration `yaml:"probation" default:"10s" needs:"upgrade"`
	// Bake is how long a release is watched after probation before it is kept. Default 5m.
	Bake time.Duration `yaml:"bake" default:"5m" needs:"nothing"`
	// DrainTimeout is how long a generation may take to finish what it holds. Default 1h; 30s for a service that has listen.
	DrainTimeout time.Duration `yaml:"drain_timeout" needs:"upgrade"`
	// StopTimeout is how long the service may take to end; then it is killed. Default 90s.
	StopTimeout time.Duration `yaml:"stop_timeout" default:"90s" needs:"upgrade"`
	// MaxDraining is how many generations may drain at the same time. Default 8.
	MaxDraining int `yaml:"max_draining" default:"8" needs:"upgrade"`

	// Failures is how many readings in a row above a ceiling are a verdict. Checks have their own. Default 3.
	Failures int `yaml:"failures" default:"3" needs:"reload"`
	// Restarts is how many times the service may die in the bake time before the release is taken back. Default 0.
	Restarts int `yaml:"restarts" needs:"reload"`
	// RSS is resident memory.
	RSS Ceiling[Size] `yaml:"rss" needs:"reload"`
	// CPU is in processors: 1.5 is one and a half.
	CPU Ceiling[float64] `yaml:"cpu" needs:"reload"`
	// Descriptors that are open.
	Descriptors Ceiling[int] `yaml:"descriptors" needs:"reload"`
	// Threads of the process.
	Threads Ceiling[int] `yaml:"threads" needs:"reload"`
	// Goroutines, of a service that embeds handover.
	Goroutines Ceiling[int] `yaml:"goroutines" needs:"reload"`

	// FalseAlarms is the tolerated share of releases as good as the one before that are taken back by chance, over the whole bake time and by Errors
	// and Latency together; above 0 and below 1. Default 0.01.
	FalseAlarms float64 `yaml:"false_alarms" default:"0.01" needs:"reload"`
	// MinRequests is how many requests each of the two releases must have had before they are compared. Default 50.
	MinRequests int `yaml:"min_requests" default:"50" needs:"reload"`
	// Errors compares the share of requests that fail.
	Errors Errors `yaml:"errors" needs:"reload"`
	// Latency compares how long requests take.
	Latency Latency `yaml:"latency" needs:"reload"`
}

// Ceiling is what a release may take of something. The zero value is none.
type Ceiling[T Size | float64 | int] struct {
	// Max is the most it may take. Default: anything.
	Max T `yaml:"max"`
	// Ratio is how many times as much as the release before it may take; at least 1. Default: anything.
	Ratio float64 `yaml:"ratio"`
}

// Errors says by how much a release may fail more requests than the one before. What is more must be so by both Ratio and Excess, and by a test that
// tells it from chance.
type Errors struct {
	// Off compares nothing. Default false.
	Off bool `yaml:"off"`
	// Ratio allows so many times the share of the release before; at least 1. Default 1.5.
	Ratio float64 `yaml:"ratio" default:"1.5"`
	// Excess allows the share of the release before and so much more; above 0 and up to 1. Default 0.001.
	Excess float64 `yaml:"excess" default:"0.001"`
}

// Latency says by how much a release may be slower than the one before. What is slower must be so by both Ratio and Excess, and by a test that tells it
// from chance.
type Latency struct {
	// Off compares nothing. Default false.
	Off bool `yaml:"off"`
	// Quantile of the time that requests take is compared; above 0 and below 1. Default 0.95.
	Quantile float64 `yaml:"quantile" default:"0.95"`
	// Ratio allows so many times that of the release before; at least 1. Default 1.25.
	Ratio float64 `yaml:"ratio" default:"1.25"`
	// Excess allows that of the release before and so much more. Default 1ms.
	Excess time.Duration `yaml:"excess" default:"1ms"`
	// Warmup is the time at the beginning that is left out, as caches are cold. Default 10s.
	Warmup time.Duration `yaml:"warmup" default:"10s"`
}
