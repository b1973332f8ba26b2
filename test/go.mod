module github.com/handover-go/handover/test

go 1.26.0

require (
	github.com/handover-go/handover v0.0.0
	go.uber.org/goleak v1.3.0
	pgregory.net/rapid v1.3.0
)

require (
	github.com/coder/websocket v1.8.15
	github.com/gobwas/ws v1.4.0
	golang.org/x/sys v0.49.0
)

require (
	github.com/gobwas/httphead v0.1.0 // indirect
	github.com/gobwas/pool v0.2.1 // indirect
)

replace github.com/handover-go/handover => ..
