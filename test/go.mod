module github.com/handover-go/handover/test

go 1.26.0

require (
	github.com/handover-go/handover v0.0.0
	go.uber.org/goleak v1.3.0
	pgregory.net/rapid v1.3.0
)

require golang.org/x/sys v0.49.0

replace github.com/handover-go/handover => ..
