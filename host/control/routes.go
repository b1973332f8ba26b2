package control

import (
	"context"
	"reflect"
)

// route is one thing that can be asked for.
type route struct {
	method, pattern string
	role            Role // the least that may use it; a request may need more, by its fields
	summary         string
	query           []param
	endpoint
}

// param is one parameter of a query. All can be left out.
type param struct {
	name string
	kind string // integer, boolean, string or duration
	is   string
}

// routes is the API.
var routes = []route{
	{"GET", "/v1/services", Viewer, "All services of the host, in the order in which they start", nil, answer((*Server).services)},
	{"GET", "/v1/services/{name}", Viewer, "One service", nil, answer((*Server).service)},
	{"POST", "/v1/services/{name}/plan", Operator, "What an upgrade would do; nothing is changed", nil, answer((*Server).plan)},
	{"POST", "/v1/services/{name}/upgrade", Operator, "Begin an upgrade; `binary` and `allow_older` take an admin", nil, begins((*Server).upgrade)},
	{"POST", "/v1/services/{name}/rollback", Operator, "Begin a rollback to the release before, or to another", nil, begins((*Server).rollback)},
	{"POST", "/v1/services/{name}/promote", Operator, "End probation and bake time of the upgrade under way well, now", nil, change((*Server).promote)},
	{"POST", "/v1/services/{name}/abort", Operator, "Take back the upgrade under way", nil, change((*Server).abort)},
	{"POST", "/v1/services/{name}/pause", Operator, "Let no upgrade begin, and keep one under way on probation or in its bake time", nil, change((*Server).pause)},
	{"POST", "/v1/services/{name}/resume", Operator, "Let upgrades go on, and begin", nil, change((*Server).resume)},
	{"POST", "/v1/services/{name}/start", Operator, "Start the service", nil, change((*Server).start)},
	{"POST", "/v1/services/{name}/stop", Operator, "End the service gracefully", nil, change((*Server).stop)},
	{"GET", "/v1/services/{name}/history", Viewer, "Its upgrades, newest first", []param{
		{"limit", "integer", "how many at most, from 1 to 1000; 20 by default"},
	}, answer((*Server).history)},
	{"GET", "/v1/services/{name}/releases", Viewer, "Its releases on the host, newest first", nil, answer((*Server).releases)},
	{"GET", "/v1/services/{name}/logs", Operator, "Its output, as text", []param{
		{"tail", "integer", "begin with so many of the last lines, from 0 to 100000; 100 by default"},
		{"follow", "boolean", "go on until the client leaves"},
	}, stream((*Server).logs, "text/plain; charset=utf-8")},
	{"GET", "/v1/upgrades/{service}/{number}", Viewer, "One upgrade", []param{
		{"wait", "duration", "answer when it is over, or after this time, at most 5m"},
		{"steps", "integer", "with wait: answer also when it has more steps than this"},
	}, answer((*Server).lookup)},
	{"GET", "/v1/events", Viewer, "What happens, as server-sent events; Last-Event-ID continues after that one", []param{
		{"after", "integer", "as Last-Event-ID"},
		{"service", "string", "only events of this service"},
	}, stream((*Server).events, "text/event-stream")},
	{"GET", "/v1/agent", Viewer, "The agent", nil, answer((*Server).agent)},
	{"POST", "/v1/agent/reload", Admin, "Read the configuration anew; a wrong one is refused whole", nil, change((*Server).reload)},
	{"POST", "/v1/agent/stop-services", Admin, "End all services, those first that come after others, until an agent is started anew", nil, change((*Server).stopAll)},
	{"GET", "/v1/audit", Admin, "The audit log", []param{
		{"limit", "integer", "how many records at most, from 1 to 1000; 100 by default"},
		{"before", "integer", "only records with a lower number"},
		{"service", "string", "only records of this service"},
	}, answer((*Server).auditPage)},
	{"GET", "/v1/openapi.json", Viewer, "This API as an OpenAPI 3.1 document", nil, stream((*Server).document, "application/json")},
}

// none is a request without a body.
type none struct{}

// endpoint is what a route takes and does.
type endpoint struct {
	request, response reflect.Type // of a stream response is nil
	media             string       // of a stream
	changes           bool         // it is audited, and goes on without its client
	begins            bool         // what it answers is only begun, with 202, unless the client waits
	serve             func(context.Context, *Server, *call) (any, error)
}

// answer is an endpoint that looks.
func answer[Q, A any](fn func(*Server, context.Context, *call, Q) (A, error)) endpoint {
	return endpoint{
		request: reflect.TypeFor[Q](), response: reflect.TypeFor[A](),
		serve: func(ctx context.Context, s *Server, c *call) (any, error) {
			q, _ := c.body.(*Q)
			return fn(s, ctx, c, *q)
		},
	}
}

// change is an endpoint that changes something.
func change[Q, A any](fn func(*Server, context.Context, *call, Q) (A, error)) endpoint {
	e := answer(fn)
	e.changes = true
	return e
}

// begins is an endpoint that begins an upgrade.
func begins[Q any](fn func(*Server, context.Context, *call, Q) (Upgrade, error)) endpoint {
	e := change(fn)
	e.begins = true
	return e
}

// stream is an endpoint that writes its answer itself.
func stream(fn func(*Server, context.Context, *call) error, media string) endpoint {
	return endpoint{
		request: reflect.TypeFor[none](), media: media,
		serve: func(ctx context.Context, s *Server, c *call) (any, error) { return nil, fn(s, ctx, c) },
	}
}

// needs is the role that a request takes by its fields, where that is more than its route's.
func needs(body any) Role {
	if r, ok := body.(*UpgradeRequest); ok && (r.Binary != "" || r.AllowOlder) {
		return Admin
	}
	return None
}
