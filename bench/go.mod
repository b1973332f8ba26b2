module github.com/handover-go/handover/bench

go 1.26.0

require (
	github.com/HdrHistogram/hdrhistogram-go v1.4.0
	github.com/cloudflare/tableflip v1.2.3
	github.com/fvbock/endless v0.0.0-20170109170031-447134032cb6
	github.com/handover-go/handover v0.0.0
	github.com/jpillora/overseer v1.1.4
	golang.org/x/sys v0.49.0
)

require (
	github.com/StackExchange/wmi v0.0.0-20190523213315-cbe66965904d // indirect
	github.com/go-ole/go-ole v1.2.4 // indirect
	github.com/jpillora/s3 v1.1.4 // indirect
)

replace github.com/handover-go/handover => ..
