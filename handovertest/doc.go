// Package handovertest drives a service while it is replaced by its next
// build, and tells exactly what was lost.
//
// It has two halves. [Drive] is a load of strict clients: they never retry,
// never hide an error, verify every answer, and notice every connection that
// closes under them. [Build] and [Start] run a service as real processes,
// upgrade it, and find every process that is left over. A test reads:
//
//	service := handovertest.Start(t, handovertest.Service{
//		Path:    handovertest.Build(t, "./cmd/shop"),
//		Address: address,
//	})
//	load, err := handovertest.Drive(t.Context(), service.Load())
//	if err != nil {
//		t.Fatal(err)
//	}
//	service.Upgrade(5)
//	handovertest.AssertNothingLost(t, load.Stop())
//
// A service that serves [Handler] can be driven by every kind of client; one
// with answers of its own sets Request and Verify in its [Load].
//
// The load runs on every system. Running a service as a family of processes
// needs Linux; elsewhere Start fails the test and says so.
package handovertest
