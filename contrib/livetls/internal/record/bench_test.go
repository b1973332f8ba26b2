package record

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"runtime"
	"testing"
)

// memory is a connection below without a kernel: it gives what it holds, and what is written to it is gone.
type memory struct {
	net.Conn
	rest []byte
}

func (m *memory) Read(p []byte) (int, error) {
	n := copy(p, m.rest)
	m.rest = m.rest[n:]
	return n, nil
}

func (m *memory) Write(p []byte) (int, error) { return len(p), nil }

// servers are what can serve a connection from the end of its handshake on.
var servers = []struct {
	name string
	of   func(h handshake, below net.Conn) net.Conn
}{
	{"record", func(h handshake, below net.Conn) net.Conn { return NewConn(below, h.in, h.out) }},
	{"crypto-tls", func(h handshake, below net.Conn) net.Conn { h.tap.after = below; return h.server }},
}

var sizes = []int{100, maxContent}

func benchmark(b *testing.B, bench func(b *testing.B, h handshake, size int, serve func(net.Conn) net.Conn)) {
	for _, id := range allSuites {
		for _, size := range sizes {
			for _, server := range servers {
				b.Run(fmt.Sprintf("%s/%d/%s", tls.CipherSuiteName(id), size, server.name), func(b *testing.B) {
					h := shake(b, id, func(_, config *tls.Config) { config.DynamicRecordSizingDisabled = true })
					b.SetBytes(int64(size))
					b.ReportAllocs()
					bench(b, h, size, func(below net.Conn) net.Conn { return server.of(h, below) })
				})
			}
		}
	}
}

func BenchmarkWrite(b *testing.B) {
	benchmark(b, func(b *testing.B, _ handshake, size int, serve func(net.Conn) net.Conn) {
		c, content := serve(&memory{}), make([]byte, size)
		for b.Loop() {
			if _, err := c.Write(content); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkRead includes that a client seals what is read.
func BenchmarkRead(b *testing.B) {
	benchmark(b, func(b *testing.B, h handshake, size int, serve func(net.Conn) net.Conn) {
		sealer := half(b, h.in.Suite(), h.in.Secret(), 0)
		m := &memory{}
		c, content, p := serve(m), make([]byte, size), make([]byte, 4096)
		var record []byte
		for b.Loop() {
			record, _ = sealer.Seal(record[:0], typeApplicationData, content)
			m.rest = record
			for got := 0; got < size; {
				n, err := c.Read(p)
				if err != nil {
					b.Fatal(err)
				}
				got += n
			}
		}
	})
}

// BenchmarkLoopback has a client of crypto/tls ask and be answered.
func BenchmarkLoopback(b *testing.B) {
	benchmark(b, func(b *testing.B, h handshake, size int, serve func(net.Conn) net.Conn) {
		c := serve(h.below)
		served := make(chan error, 1)
		go func() {
			p := make([]byte, 32<<10)
			for {
				n, err := c.Read(p)
				if err == nil {
					_, err = c.Write(p[:n])
				}
				if err != nil {
					served <- err
					return
				}
			}
		}()
		content, back := make([]byte, size), make([]byte, size)
		for b.Loop() {
			if _, err := h.client.Write(content); err != nil {
				b.Fatal(err)
			}
			if _, err := io.ReadFull(h.client, back); err != nil {
				b.Fatal(err)
			}
		}
		_ = h.client.Close()
		<-served
	})
}

// BenchmarkIdle tells what an idle connection holds, after it has moved 16 KiB in each direction.
func BenchmarkIdle(b *testing.B) {
	for _, id := range allSuites {
		b.Run(tls.CipherSuiteName(id), func(b *testing.B) {
			from, to := secret(b, id, 'c'), secret(b, id, 's')
			content, p := make([]byte, maxContent), make([]byte, 4096)
			conns := make([]*Conn, 0, 1000)
			for b.Loop() {
				before := heap()
				for range cap(conns) {
					m := &memory{}
					c := NewConn(m, half(b, id, from, 0), half(b, id, to, 0))
					m.rest, _ = half(b, id, from, 0).Seal(nil, typeApplicationData, content)
					for got := 0; got < len(content); {
						n, err := c.Read(p)
						if err != nil {
							b.Fatal(err)
						}
						got += n
					}
					m.rest = nil
					if _, err := c.Write(content); err != nil {
						b.Fatal(err)
					}
					conns = append(conns, c)
				}
				b.ReportMetric(float64(heap()-before)/float64(len(conns)), "B/conn")
				conns = conns[:0]
				clear(conns[:cap(conns)])
			}
		})
	}
}

// heap is what is alive on it; pools are empty after the second collection.
func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
