package siem

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"strconv"
	"sync/atomic"
	"time"

	"gatehouse.internal/modules/internal/egress"
)

// syslog sends over TCP, best with TLS (RFC 5425): each record is preceded by its length. The protocol has no answers, so that
// what was sent last may be lost with the connection; it is sent again.
type syslog struct {
	address string
	tls     *tls.Config // nil: in clear

	conn net.Conn
	gone *atomic.Bool // of conn: the other side has closed it
}

func (s *syslog) send(ctx context.Context, entries []entry) error {
	if s.conn != nil && s.gone.Load() {
		_ = s.Close()
	}
	if s.conn == nil {
		if err := s.dial(ctx); err != nil {
			return err
		}
	}
	var b []byte
	for _, e := range entries {
		b = strconv.AppendInt(b, int64(len(e.text)), 10)
		b = append(append(b, ' '), e.text...)
	}
	deadline, _ := ctx.Deadline()
	_ = s.conn.SetWriteDeadline(deadline) // fails on closed connections only, as the write does
	if _, err := s.conn.Write(b); err != nil {
		_ = s.Close() // half a record is no beginning for another
		return err
	}
	return nil
}

var dialSyslog = egress.Dialer(&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 15 * time.Second})

func (s *syslog) dial(ctx context.Context) (err error) {
	conn, err := dialSyslog(ctx, "tcp", s.address)
	if err != nil {
		return err
	}
	if s.tls != nil {
		secure := tls.Client(conn, s.tls)
		if err := secure.HandshakeContext(ctx); err != nil {
			_ = conn.Close()
			return err
		}
		conn = secure
	}
	s.conn, s.gone = conn, new(atomic.Bool)
	go func(gone *atomic.Bool) {
		_, _ = io.Copy(io.Discard, conn) // nothing comes; it ends when the connection does
		gone.Store(true)
	}(s.gone)
	return nil
}

func (s *syslog) broken() bool { return s.conn == nil || s.gone.Load() }

// Close ends the connection, if there is one.
func (s *syslog) Close() error {
	if s.conn == nil {
		return nil
	}
	err := s.conn.Close()
	s.conn = nil
	return err
}
