package audit

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"

	"gatehouse.internal/modules/gatehouse"
	"gatehouse.internal/modules/internal/chain"
	"gatehouse.internal/modules/internal/event"
)

// recorded is a record of these events, in a directory of its own.
func recorded(t *testing.T, events ...event.Event) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "audit")
	c, err := chain.Open(dir, chain.Options{Origin: "a"})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range events {
		e.Time, e.Kind = time.Now(), event.LoginSucceeded
		if err := c.Record(e); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Destruct(); err != nil {
		t.Fatal(err)
	}
	return dir
}

func onRecord() error { return nil }

// A record is of the tenant whose the site was when it was made. One that does not say so is of the tenant that has all sites of the
// name: of two sites with one name, and two tenants, it is nobody's (CAL-26).
func TestTenantOfRecords(t *testing.T) {
	dir := recorded(t,
		event.Event{Site: "app", Tenant: "acme", User: "acme-new"}, event.Event{Site: "app", Tenant: "basel", User: "basel-new"}, event.Event{Site: "app", User: "app-old"},
		event.Event{Site: "wiki", User: "wiki-old"}, event.Event{Site: "wiki", Tenant: "basel", User: "wiki-before"}, event.Event{Site: "gone", User: "gone-old"},
		event.Event{User: "about", Attrs: []event.Attr{{Key: "tenant", Value: "acme"}}}, event.Event{User: "house"})
	sites := []*gatehouse.Site{{Name: "app", Tenant: "acme"}, {Name: "app", Tenant: "basel"}, {Name: "app", Tenant: "acme"}, {Name: "wiki", Tenant: "acme"}, {Name: "wiki", Tenant: "acme"}, {Name: "open"}}
	for range 2 {
		for tenant, want := range map[string][]string{"acme": {"acme-new", "wiki-old", "about"}, "basel": {"basel-new", "wiki-before"}} {
			page, err := readPage(t.Context(), dir, belonging{tenant, namesOf(tenant, sites)}, 0, onRecord)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, text := range page.Records {
				_, user, _ := strings.Cut(string(text), `"user":"`)
				user, _, _ = strings.Cut(user, `"`)
				got = append(got, user)
			}
			if !slices.Equal(got, want) || page.Next != 0 {
				t.Errorf("%s reads %q, want %q; next %d", tenant, got, want, page.Next)
			}
		}
		slices.Reverse(sites)
	}
}

// All pages together are all records, each once; nothing of a record that does not verify is on any of them, wherever it was changed.
func TestTenantPages(t *testing.T) {
	defer func(n int) { maxRecords = n }(maxRecords)
	maxRecords = 2
	var events []event.Event
	for range 5 {
		events = append(events, event.Event{Site: "app", Tenant: "acme"}, event.Event{Site: "app", Tenant: "basel", RequestID: "basel"})
	}
	dir, whose := recorded(t, events...), belonging{"acme", nil}
	var sizes []int
	var all string
	asked := 0
	for from := int64(0); ; {
		page, err := readPage(t.Context(), dir, whose, from, func() error { asked++; return nil })
		if err != nil {
			t.Fatal(err)
		}
		sizes = append(sizes, len(page.Records))
		for _, text := range page.Records {
			all += string(text)
		}
		if from = page.Next; from == 0 {
			break
		}
	}
	if !slices.Equal(sizes, []int{2, 2, 1}) || asked != 3 || strings.Count(all, `"kind":"login.succeeded"`) != 5 || strings.Contains(all, "basel") {
		t.Errorf("pages of %v, %d times on record:\n%s", sizes, asked, all)
	}

	full := errors.New("disk full")
	for says, err := range map[string]error{
		"disk full": func() error {
			_, err := readPage(t.Context(), dir, whose, 0, func() error { return full })
			return err
		}(),
		"context canceled": func() error {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			_, err := readPage(ctx, dir, whose, 0, onRecord)
			return err
		}(),
		"ask again": func() (err error) {
			_, outer := readPage(t.Context(), dir, whose, 0, func() error {
				_, err = readPage(t.Context(), dir, whose, 0, func() error { t.Error("it is put on record as read, and is not"); return nil })
				return nil
			})
			if refused := (caddy.APIError{}); !errors.As(err, &refused) || refused.HTTPStatus != http.StatusTooManyRequests {
				t.Errorf("two at a time: %v", err)
			}
			return errors.Join(err, outer)
		}(),
	} {
		if err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want %q", err, says)
		}
	}

	files, err := filepath.Glob(filepath.Join(dir, "segment-*.log"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	text, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	at := strings.LastIndex(string(text), `"request":"basel"`) // in the last record, which only a signature is of
	if at < 0 {
		t.Fatalf("no such record:\n%s", text)
	}
	if err := os.WriteFile(files[0], []byte(string(text[:at])+strings.Replace(string(text[at:]), "basel", "Basel", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if page, err := readPage(t.Context(), dir, whose, 0, onRecord); err == nil || !strings.Contains(err.Error(), "does not verify") || page != nil {
		t.Errorf("the first page of a record whose end was changed: %v, %v", page, err)
	}
}
