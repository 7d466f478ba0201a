package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/coder/websocket"
)

// hub tells every open page about new notes, over a websocket or over server-sent events.
type hub struct {
	mu     sync.Mutex
	people map[chan []byte]struct{} // guarded by mu
}

func newHub() *hub { return &hub{people: make(map[chan []byte]struct{})} }

// join returns a channel of messages and what ends the subscription. A page that does not keep up misses messages.
func (h *hub) join() (<-chan []byte, func()) {
	c := make(chan []byte, 16)
	h.mu.Lock()
	h.people[c] = struct{}{}
	h.mu.Unlock()
	return c, func() {
		h.mu.Lock()
		delete(h.people, c)
		h.mu.Unlock()
	}
}

func (h *hub) tell(n note) {
	msg, err := json.Marshal(n)
	if err != nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for c := range h.people {
		select {
		case c <- msg:
		default:
		}
	}
}

// websocket sends every new note and answers each message "echo: …". It accepts every Origin, as careless
// applications do: a story proves that the gateway does not.
func (h *hub) websocket(w http.ResponseWriter, r *http.Request) {
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true})
	if err != nil {
		return // Accept has answered
	}
	defer conn.CloseNow()
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()

	news, leave := h.join()
	defer leave()
	go func() {
		defer cancel()
		for {
			select {
			case <-ctx.Done():
				return
			case msg := <-news:
				if conn.Write(ctx, websocket.MessageText, msg) != nil {
					return
				}
			}
		}
	}()
	for {
		kind, msg, err := conn.Read(ctx)
		if err != nil {
			return
		}
		if conn.Write(ctx, kind, append([]byte("echo: "), msg...)) != nil {
			return
		}
	}
}

// events is the same stream as server-sent events, with a tick each second so that a story sees it flow.
func (h *hub) events(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
	news, leave := h.join()
	defer leave()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	flush := http.NewResponseController(w)
	for n := 0; ; {
		if _, err := fmt.Fprintf(w, "event: tick\ndata: %d\n\n", n); err != nil || flush.Flush() != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-tick.C:
			n++
		case msg := <-news:
			if _, err := fmt.Fprintf(w, "event: note\ndata: %s\n\n", msg); err != nil {
				return
			}
		}
	}
}
