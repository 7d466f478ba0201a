package oidc

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// keyServer counts fetches of a set that the test may change.
type keyServer struct {
	mu      sync.Mutex
	keys    []jose.JSONWebKey
	err     error
	fetches atomic.Int32
}

func (s *keyServer) fetch(context.Context) ([]jose.JSONWebKey, error) {
	s.fetches.Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.keys, s.err
}

func (s *keyServer) publish(err error, keys ...jose.JSONWebKey) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys, s.err = keys, err
}

func tokenOf(t *testing.T, key any, kid string) string {
	return sign(t, jose.RS256, key, []byte(`{"alg":"RS256","kid":"`+kid+`"}`), []byte(`{}`))
}

// TestFloodOfBadTokens is what go-oidc's own key set fails: it fetches once for each.
func TestFloodOfBadTokens(t *testing.T) {
	k := testKeys()
	bad := map[string]func(i int) string{
		"unknown key ids":              func(i int) string { return tokenOf(t, k.other, fmt.Sprint("x", i)) },
		"one unknown key id":           func(int) string { return tokenOf(t, k.other, "x") },
		"bad signatures":               func(int) string { return tokenOf(t, k.other, "k1") },
		"without key id":               func(int) string { return tokenOf(t, k.other, "") },
		"key ids too long to remember": func(i int) string { return tokenOf(t, k.other, fmt.Sprintf("%0300d", i)) },
	}
	for name, token := range bad {
		t.Run(name, func(t *testing.T) {
			tokens := make([]string, 100)
			for i := range tokens {
				tokens[i] = token(i)
			}
			good := tokenOf(t, k.rsa, "k1")
			synctest.Test(t, func(t *testing.T) {
				server := &keyServer{keys: []jose.JSONWebKey{publicJWK(&k.rsa.PublicKey, "k1", "")}}
				set := newKeySet(server.fetch)
				if _, err := set.VerifySignature(t.Context(), good); err != nil {
					t.Fatal(err)
				}
				server.fetches.Store(0)
				for range 10 {
					var wg sync.WaitGroup
					for _, token := range tokens {
						wg.Go(func() {
							if _, err := set.VerifySignature(t.Context(), token); !errors.Is(err, errSignature) {
								t.Errorf("got %v", err)
							}
						})
					}
					wg.Wait()
				}
				if n := server.fetches.Load(); n > 1 {
					t.Errorf("1,000 bad tokens made %d fetches, want at most 1", n)
				}
				if _, err := set.VerifySignature(t.Context(), good); err != nil {
					t.Errorf("the flood shut out a good token: %v", err)
				}
				if n := len(set.unknown); n > maxUnknown {
					t.Errorf("%d key ids remembered, want at most %d", n, maxUnknown)
				}
				time.Sleep(quietFor) // fake time
				for _, token := range tokens {
					_, _ = set.VerifySignature(t.Context(), token)
				}
				if n := server.fetches.Load(); n > 2 {
					t.Errorf("%d fetches in two windows, want at most 2", n)
				}
			})
		})
	}
}

func TestKeySetInTime(t *testing.T) {
	k := testKeys()
	first, second := publicJWK(&k.rsa.PublicKey, "k1", ""), publicJWK(&k.other.PublicKey, "k2", "")
	old, fresh := tokenOf(t, k.rsa, "k1"), tokenOf(t, k.other, "k2")
	synctest.Test(t, func(t *testing.T) {
		server := &keyServer{err: errors.New("down")}
		set := newKeySet(server.fetch)
		verify := func(token string, want error) {
			t.Helper()
			if _, err := set.VerifySignature(t.Context(), token); !errors.Is(err, want) {
				t.Errorf("got %v, want %v", err, want)
			}
		}
		verify(old, ErrDown)
		verify(old, ErrDown)
		if n := server.fetches.Load(); n != 1 {
			t.Errorf("%d fetches, want 1: no second one so soon after a failure", n)
		}
		server.publish(nil, first)
		time.Sleep(retry)
		verify(old, nil)

		verify(fresh, errSignature) // not there yet
		server.publish(nil, first, second)
		time.Sleep(quietFor)
		verify(fresh, errSignature) // still remembered as unknown
		time.Sleep(unknownFor)
		verify(fresh, nil)

		server.publish(errors.New("down"))
		time.Sleep(maxAge)
		verify(old, nil) // the old set serves
		synctest.Wait()
		verify(tokenOf(t, k.other, "k3"), ErrDown) // nobody can tell
		verify(old, nil)

		server.publish(nil, second)
		time.Sleep(maxAge)
		verify(fresh, nil) // fetched anew behind this one
		synctest.Wait()
		verify(old, errSignature) // withdrawn by the provider
	})
}

func TestRemoteIsFetchedOnceForMany(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var fetches atomic.Int32
		doc := &remote[int]{fetch: func(ctx context.Context) (int, error) {
			time.Sleep(time.Second) // fake time
			return int(fetches.Add(1)), ctx.Err()
		}}
		impatient, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		var wg sync.WaitGroup
		wg.Go(func() {
			if _, err := doc.get(impatient); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("impatient caller got %v", err)
			}
		})
		for range 100 {
			wg.Go(func() {
				if v, err := doc.get(t.Context()); v != 1 || err != nil {
					t.Errorf("got %d, %v", v, err)
				}
			})
		}
		wg.Wait()
		time.Sleep(maxAge)
		for range 100 {
			if v, err := doc.get(t.Context()); v != 1 || err != nil { // at once
				t.Errorf("got %d, %v", v, err)
			}
		}
		time.Sleep(2 * time.Second)
		if v, _ := doc.get(t.Context()); v != 2 || fetches.Load() != 2 {
			t.Errorf("got %d after %d fetches, want the second document", v, fetches.Load())
		}
	})
}

func TestFetchIsBoundedInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		doc := &remote[int]{fetch: func(ctx context.Context) (int, error) { <-ctx.Done(); return 0, ctx.Err() }}
		began := time.Now()
		if _, err := doc.get(t.Context()); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != fetchFor {
			t.Errorf("ended after %v with %v", time.Since(began), err)
		}
	})
}

func BenchmarkVerifyIDToken(b *testing.B) {
	p := newIdP(&testing.T{})
	defer p.Close()
	set := newKeySet(func(context.Context) ([]jose.JSONWebKey, error) {
		return []jose.JSONWebKey{publicJWK(&testKeys().rsa.PublicKey, "k1", "RS256")}, nil
	})
	raw := p.idToken("n", nil)
	want := expected{issuer: p.URL, clientID: testClientID, nonce: "n", started: time.Now(), algorithms: algorithms, clock: new(clock)}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := verifyIDToken(context.Background(), set, raw, want); err != nil {
			b.Fatal(err)
		}
	}
}
