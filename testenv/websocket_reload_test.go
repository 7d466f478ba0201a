package testenv

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// TestWebsocketOverReload tells what a reload does to websockets that are open. As Caddy comes, all of them are closed,
// with a close frame that says so, and pages connect anew with the session they have; with stream_close_delay in the
// site's reverse_proxy they stay for so long, over any number of reloads.
func TestWebsocketOverReload(t *testing.T) {
	t.Parallel()
	be := startBackend(t)
	for _, tt := range []struct {
		name, proxy string
		stays       bool
	}{
		{"as it comes", "reverse_proxy {$BACKEND}", false},
		{"with stream_close_delay", "reverse_proxy {$BACKEND} {\n\t\tstream_close_delay 1h\n\t}", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			g := startGateway(t, config{Race: true, Backend: be.Listen, Rest: tt.proxy})
			user := g.newUser(t, "alice", alicesPassword)
			conn, _, err := user.openWebsocket("/ws", g.origin())
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.CloseNow() }()
			for i := range 3 {
				if err := echo(conn, "before"); err != nil {
					t.Fatalf("before reload %d: %v", i+1, err)
				}
				if stderr, err := g.reload(); err != nil {
					t.Fatalf("%v\n%s", err, stderr)
				}
				if tt.stays {
					continue
				}
				began := time.Now()
				code, err := closedWith(conn)
				t.Logf("reload %d: closed %v later with %v", i+1, time.Since(began).Round(time.Millisecond), err)
				if code != websocket.StatusGoingAway {
					t.Errorf("closed with %v (%v), want 1001, after which pages know to connect again", code, err)
				}
				if conn, _, err = user.openWebsocket("/ws", g.origin()); err != nil {
					t.Fatalf("connecting anew: %v", err)
				}
			}
			if err := echo(conn, "after"); err != nil {
				t.Errorf("after three reloads: %v", err)
			}
		})
	}
}

// closedWith waits for the other side to close.
func closedWith(conn *websocket.Conn) (websocket.StatusCode, error) {
	ctx, cancel := context.WithTimeout(context.Background(), answersIn)
	defer cancel()
	for {
		if _, _, err := conn.Read(ctx); err != nil {
			if ctx.Err() != nil {
				return 0, errors.New("it stays open")
			}
			return websocket.CloseStatus(err), err
		}
	}
}
