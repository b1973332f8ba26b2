module github.com/handover-go/handover/contrib/livetls

go 1.26.0

require golang.org/x/crypto v0.58.0

require golang.org/x/sys v0.49.0 // indirect

require github.com/handover-go/handover v0.0.0

replace github.com/handover-go/handover => ../../
