module github.com/handover-go/handover/bench

go 1.26.0

require github.com/handover-go/handover v0.0.0

require golang.org/x/sys v0.49.0 // indirect

replace github.com/handover-go/handover => ..
