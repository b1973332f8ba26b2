// Command client calls the interop service in every way that grpc-go's interoperability client knows, without pause, as
// default clients do: no retry policy, no service config. Each answer is verified by grpc-go's own functions, the first
// that is wrong ends the process with 1. It writes a line when every kind of call has succeeded, one at the first answer of each
// generation, and the number of calls of each kind when its standard input ends.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	_ "google.golang.org/grpc/health" // for service configs that ask for checks
	"google.golang.org/grpc/interop"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
)

// pace is the time from one call of a kind to the next, on one connection. It leaves the machine to others.
const pace = 25 * time.Millisecond

// kinds are the ways to call. Those that need a server with credentials or metrics of its own are left out, and cancel_after_begin: a client
// that is slow to run finds its own cancellation and the server's answer there at once, takes either, and calls the answer a fault.
var kinds = map[string]func(context.Context, *grpc.ClientConn, ...grpc.CallOption){
	"empty_unary":                 of(interop.DoEmptyUnaryCall),
	"large_unary":                 of(interop.DoLargeUnaryCall),
	"client_streaming":            of(interop.DoClientStreaming),
	"server_streaming":            of(interop.DoServerStreaming),
	"ping_pong":                   of(interop.DoPingPong),
	"empty_stream":                of(interop.DoEmptyStream),
	"timeout_on_sleeping_server":  of(interop.DoTimeoutOnSleepingServer),
	"cancel_after_first_response": of(interop.DoCancelAfterFirstResponse),
	"custom_metadata":             of(interop.DoCustomMetadata),
	"status_code_and_message":     of(interop.DoStatusCodeAndMessage),
	"special_status_message":      of(interop.DoSpecialStatusMessage),
	"unimplemented_method": func(ctx context.Context, cc *grpc.ClientConn, _ ...grpc.CallOption) {
		interop.DoUnimplementedMethod(ctx, cc)
	},
}

func of(do func(context.Context, testgrpc.TestServiceClient, ...grpc.CallOption)) func(context.Context, *grpc.ClientConn, ...grpc.CallOption) {
	return func(ctx context.Context, cc *grpc.ClientConn, options ...grpc.CallOption) {
		do(ctx, testgrpc.NewTestServiceClient(cc), options...)
	}
}

func main() {
	address := flag.String("addr", "", "where the service listens")
	connections := flag.Int("conns", 3, "how many connections stay")
	fresh := flag.Bool("new", true, "make new connections as well")
	ca := flag.String("ca", "", "certificate of a service that speaks TLS")
	config := flag.String("config", "", "service config, for clients that are no default ones")
	flag.Parse()

	creds := insecure.NewCredentials()
	if *ca != "" {
		var err error
		if creds, err = credentials.NewClientTLSFromFile(*ca, "localhost"); err != nil {
			log.Fatal(err)
		}
	}
	options := []grpc.DialOption{grpc.WithTransportCredentials(creds)}
	if *config != "" {
		options = append(options, grpc.WithDefaultServiceConfig(*config))
	}
	c := &client{address: *address, options: options, Calls: make(map[string]int), Generations: make(map[string]int)}
	c.drive(*connections, *fresh)
	if err := json.NewEncoder(os.Stdout).Encode(c); err != nil {
		log.Fatal(err)
	}
}

type client struct {
	address string
	options []grpc.DialOption

	mu          sync.Mutex
	Calls       map[string]int // of each kind
	Generations map[string]int // how many calls each has answered
}

// drive calls until the standard input ends.
func (c *client) drive(connections int, fresh bool) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var callers, first sync.WaitGroup
	repeat := func(call func()) {
		first.Add(1)
		callers.Go(func() {
			call()
			first.Done()
			ticks := time.NewTicker(pace)
			defer ticks.Stop()
			for ctx.Err() == nil {
				call()
				<-ticks.C
			}
		})
	}
	for range connections {
		cc := c.connect()
		defer cc.Close()
		for kind := range kinds {
			repeat(func() { c.call(kind, cc) })
		}
	}
	if fresh {
		repeat(func() { c.callAnew("empty_unary") })
		repeat(func() { c.callAnew("ping_pong") })
	}
	first.Wait()
	fmt.Fprintln(os.Stdout, "every kind has succeeded")
	_, _ = io.Copy(io.Discard, os.Stdin)
	cancel()
	callers.Wait()
}

func (c *client) connect() *grpc.ClientConn {
	cc, err := grpc.NewClient(c.address, c.options...)
	if err != nil {
		log.Fatal(err)
	}
	return cc
}

// callAnew makes one call on a connection of its own.
func (c *client) callAnew(kind string) {
	cc := c.connect()
	defer cc.Close()
	c.call(kind, cc)
}

// call makes one call, of 20 s at most, and counts it. An error ends the process.
func (c *client) call(kind string, cc *grpc.ClientConn) {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	var header metadata.MD
	kinds[kind](ctx, cc, grpc.Header(&header))
	c.mu.Lock()
	defer c.mu.Unlock()
	c.Calls[kind]++
	if by := header.Get("generation"); len(by) == 1 {
		if c.Generations[by[0]]++; c.Generations[by[0]] == 1 {
			fmt.Println("answered by generation", by[0])
		}
	}
}
