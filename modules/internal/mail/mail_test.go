package mail

import (
	"context"
	"errors"
	"net"
	"testing"
)

// Of each letter that was taken it is told what came of it, also when nothing is sent any more; then none is taken.
func TestWhatWaitsIsToldOf(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := ln.Addr().String()
	ln.Close()
	p, err := New(SMTP{Address: nobody, From: "gate@mail.test"}, "")
	if err != nil {
		t.Fatal(err)
	}
	told := 0
	letter := Letter{To: []string{"sam@mail.test"}, Subject: "x", Body: "x", Tell: func(err error) {
		if told++; err == nil {
			t.Error("sent to nobody")
		}
	}}
	for range queueLength {
		if err := p.Post(letter); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Post(letter); !errors.Is(err, ErrFull) {
		t.Errorf("one too many: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	p.Run(ctx)
	if told != queueLength {
		t.Errorf("told of %d letters of %d", told, queueLength)
	}
	if err := p.Post(letter); !errors.Is(err, ErrEnded) {
		t.Errorf("afterwards: %v", err)
	}
}
