package interop

import (
	"errors"
	"io"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"
)

func TestStreamsThatAreOpenAtFINALFinishWhole(t *testing.T) {
	s := start(t)
	incumbent := s.PID()
	var clients []*grpc.ClientConn
	var talks []*talk
	var uploads []*upload
	var lists []*list
	for range 2 {
		cc := s.connect()
		clients = append(clients, cc)
		for range 3 {
			talks = append(talks, s.talk(cc))
			uploads = append(uploads, s.upload(cc))
		}
		lists = append(lists, s.list(cc, 400, 5*time.Millisecond))
	}
	goOn := func() {
		for _, talk := range talks {
			talk.exchange(10)
		}
		for _, upload := range uploads {
			upload.send(10)
		}
	}
	goOn()
	s.Upgrade(1)
	goOn()
	for _, cc := range clients {
		s.leaves(cc)
		s.answered(cc, s.PID()) // new calls of the same clients
	}
	goOn()
	for _, talk := range talks {
		talk.end(incumbent)
	}
	for _, upload := range uploads {
		upload.end(incumbent)
	}
	for _, list := range lists {
		list.end(incumbent)
	}
	s.AwaitExit(incumbent)
}

func TestStreamsFinishWhereTheServiceEnds(t *testing.T) {
	s := start(t)
	pid := s.PID()
	cc := s.connect()
	talk, list := s.talk(cc), s.list(cc, 200, 5*time.Millisecond)
	talk.exchange(10)
	ending := s.says("msg=ending ")
	s.Signal(pid, syscall.SIGTERM)
	s.line(ending)
	talk.exchange(10)
	talk.end(pid)
	list.end(pid)
	s.AwaitExit(pid)
}

func TestEndlessStreamIsCutAtTheDrainDeadline(t *testing.T) {
	s := start(t, "HANDOVER_DRAIN_TIMEOUT=1s")
	incumbent := s.PID()
	talk := s.talk(s.connect())
	talk.exchange(10)
	deadline := s.says(cut)
	s.Upgrade(1)
	s.line(deadline)
	if _, err := talk.stream.Recv(); status.Code(err) != codes.Unavailable {
		t.Errorf("the stream ended with %v, want %v", err, codes.Unavailable)
	}
	s.AwaitExit(incumbent)
}

// talk is a stream in both directions: each message asks for one of its own size, which numbers it.
type talk struct {
	s      *service
	stream grpc.BidiStreamingClient[testgrpc.StreamingOutputCallRequest, testgrpc.StreamingOutputCallResponse]
	sent   int32
}

func (s *service) talk(cc *grpc.ClientConn) *talk {
	s.t.Helper()
	stream, err := testgrpc.NewTestServiceClient(cc).FullDuplexCall(s.ctx)
	if err != nil {
		s.t.Fatal(err)
	}
	return &talk{s: s, stream: stream}
}

// exchange sends n messages, and then takes their answers.
func (k *talk) exchange(n int32) {
	k.s.t.Helper()
	for i := range n {
		request := &testgrpc.StreamingOutputCallRequest{ResponseParameters: []*testgrpc.ResponseParameters{{Size: k.sent + 1 + i}}}
		if err := k.stream.Send(request); err != nil {
			k.s.t.Fatalf("message %d: %v\n%s", k.sent+1+i, err, k.s.Output(60))
		}
	}
	for range n {
		k.sent++
		k.s.takes(k.stream.Recv, k.sent)
	}
}

func (k *talk) end(by int) {
	k.s.t.Helper()
	if err := k.stream.CloseSend(); err != nil {
		k.s.t.Fatal(err)
	}
	if _, err := k.stream.Recv(); !errors.Is(err, io.EOF) {
		k.s.t.Fatalf("after %d messages: %v, want the end", k.sent, err)
	}
	k.s.wantStream(k.stream, by)
}

// upload is a stream to the service, which answers how many bytes came.
type upload struct {
	s      *service
	stream grpc.ClientStreamingClient[testgrpc.StreamingInputCallRequest, testgrpc.StreamingInputCallResponse]
	bytes  int32
}

func (s *service) upload(cc *grpc.ClientConn) *upload {
	s.t.Helper()
	stream, err := testgrpc.NewTestServiceClient(cc).StreamingInputCall(s.ctx)
	if err != nil {
		s.t.Fatal(err)
	}
	return &upload{s: s, stream: stream}
}

func (u *upload) send(n int) {
	u.s.t.Helper()
	for range n {
		body := make([]byte, 1000)
		if err := u.stream.Send(&testgrpc.StreamingInputCallRequest{Payload: &testgrpc.Payload{Body: body}}); err != nil {
			u.s.t.Fatalf("after %d bytes: %v\n%s", u.bytes, err, u.s.Output(60))
		}
		u.bytes += int32(len(body))
	}
}

func (u *upload) end(by int) {
	u.s.t.Helper()
	answer, err := u.stream.CloseAndRecv()
	if err != nil || answer.GetAggregatedPayloadSize() != u.bytes {
		u.s.t.Fatalf("%d bytes have come, %v; want %d\n%s", answer.GetAggregatedPayloadSize(), err, u.bytes, u.s.Output(60))
	}
	u.s.wantStream(u.stream, by)
}

// list is a stream from the service, of messages that grow by a byte each.
type list struct {
	s      *service
	stream grpc.ServerStreamingClient[testgrpc.StreamingOutputCallResponse]
	n      int32
}

func (s *service) list(cc *grpc.ClientConn, n int32, interval time.Duration) *list {
	s.t.Helper()
	request := &testgrpc.StreamingOutputCallRequest{}
	for i := range n {
		request.ResponseParameters = append(request.ResponseParameters,
			&testgrpc.ResponseParameters{Size: i + 1, IntervalUs: int32(interval.Microseconds())})
	}
	stream, err := testgrpc.NewTestServiceClient(cc).StreamingOutputCall(s.ctx, request)
	if err != nil {
		s.t.Fatal(err)
	}
	return &list{s: s, stream: stream, n: n}
}

func (l *list) end(by int) {
	l.s.t.Helper()
	for i := range l.n {
		l.s.takes(l.stream.Recv, i+1)
	}
	if _, err := l.stream.Recv(); !errors.Is(err, io.EOF) {
		l.s.t.Fatalf("after %d messages: %v, want the end", l.n, err)
	}
	l.s.wantStream(l.stream, by)
}

// takes receives a message, which has the number that is due.
func (s *service) takes(receive func() (*testgrpc.StreamingOutputCallResponse, error), number int32) {
	s.t.Helper()
	m, err := receive()
	if got := len(m.GetPayload().GetBody()); err != nil || got != int(number) {
		s.t.Fatalf("message %d, %v; want message %d\n%s", got, err, number, s.Output(60))
	}
}

// wantStream checks which process had a stream.
func (s *service) wantStream(stream grpc.ClientStream, by int) {
	s.t.Helper()
	header, err := stream.Header()
	if err != nil {
		s.t.Fatal(err)
	}
	if pid, err := pidIn(header); err != nil || pid != by {
		s.t.Errorf("the stream was answered by process %d, %v; want %d", pid, err, by)
	}
}
