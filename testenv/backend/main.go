// Command backend is the application behind the gateway in the demo and in the stories: a small notice board that knows
// nothing of Gatehouse. It has what real applications have (pages, forms, search, a JSON API, a websocket, server-sent
// events, uploads, an admin page without a login of its own) and, for the stories, a few addresses that misbehave.
//
// On the -control listener, which the gateway is never told about, a story reads what reached the application: the
// only proof that something did not.
//
// It prints one JSON line with its two addresses and runs until SIGINT or SIGTERM.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	listen := flag.String("listen", "127.0.0.1:0", "address of the application")
	control := flag.String("control", "127.0.0.1:0", "address of the recorder; empty: none")
	flag.Parse()
	log.SetFlags(0)
	log.SetPrefix("backend: ")

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *listen, *control); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, listen, control string) error {
	app, err := net.Listen("tcp", listen)
	if err != nil {
		return fmt.Errorf("opening the application's port: %w", err)
	}
	rec := &recorder{}
	live := newHub()
	servers := []*http.Server{{
		Handler:           rec.wrap(newBoard(live).handler()),
		ReadHeaderTimeout: 30 * time.Second,
		BaseContext:       func(net.Listener) context.Context { return ctx },
	}}
	listeners := []net.Listener{rec.listener(app)}
	addresses := map[string]string{"listen": app.Addr().String()}
	if control != "" {
		l, err := net.Listen("tcp", control)
		if err != nil {
			return fmt.Errorf("opening the control port: %w", err)
		}
		addresses["control"] = l.Addr().String()
		servers = append(servers, &http.Server{Handler: rec.control(), ReadHeaderTimeout: 30 * time.Second})
		listeners = append(listeners, l)
	}
	if err := json.NewEncoder(os.Stdout).Encode(addresses); err != nil {
		return err
	}

	failed := make(chan error, len(servers))
	for i, s := range servers {
		go func() { failed <- s.Serve(listeners[i]) }()
	}
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	for _, s := range servers {
		if err := s.Shutdown(grace); err != nil && !errors.Is(err, context.DeadlineExceeded) {
			return err
		}
		_ = s.Close()
	}
	return nil
}
