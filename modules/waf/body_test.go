package waf

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/iotest"

	"gatehouse.internal/modules/internal/verdict"
	"gatehouse.internal/rules"
)

func TestStreams(t *testing.T) {
	tests := []struct {
		name   string
		values []string
		want   bool
	}{
		{"octets", []string{"application/octet-stream"}, true},
		{"media", []string{"image/png"}, true},
		{"media with a parameter", []string{"Video/MP4; codecs=\"avc1\""}, true},
		{"office", []string{"application/vnd.openxmlformats-officedocument.wordprocessingml.document"}, true},
		{"grpc", []string{"application/grpc"}, true},
		{"none", nil, false},
		{"empty", []string{""}, false},
		{"two", []string{"image/png", "image/png"}, false},
		{"two in one", []string{"image/png, application/json"}, false},
		{"broken parameter", []string{"image/png; x"}, false},
		{"form", []string{"application/x-www-form-urlencoded"}, false},
		{"multipart", []string{"multipart/form-data; boundary=b"}, false},
		{"json", []string{"application/json"}, false},
		{"svg is xml", []string{"image/svg+xml"}, false},
		{"gltf is json", []string{"model/gltf+json"}, false},
		{"text", []string{"text/plain"}, false},
		{"vendor", []string{"application/vnd.acme.v1"}, false},
		{"java", []string{"application/x-java-serialized-object"}, false},
		{"leading no-break space", []string{"\u00a0image/png"}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := streams(http.Header{"Content-Type": tt.values}); got != tt.want {
				t.Fatalf("streams = %v", got)
			}
		})
	}
}

// TestContentTypesAgree keeps body.go's list and rule 900220's together: what we stream, CRS must not refuse, and
// what CRS lets through under its own name is either streamed here on purpose or inspected.
func TestContentTypesAgree(t *testing.T) {
	e := engineAt(t, 1, Block)
	names := []string{"image/png", "audio/ogg", "video/mp4", "font/woff2", "model/stl", "application/vnd.acme+json", "application/vnd.acme"}
	for name := range streamedTypes {
		names = append(names, name)
	}
	for _, prefix := range streamedPrefixes {
		names = append(names, prefix+"x")
	}
	setup, err := rules.FS.ReadFile("crs-setup.conf")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`\|([a-z]+/[^|]+)\|`).FindAllSubmatch(setup, -1) {
		names = append(names, string(m[1]))
	}
	if len(names) < 60 {
		t.Fatalf("only %d content types found", len(names))
	}
	for _, name := range names {
		i := e.Inspect("r")
		if v := i.Head(body("POST", "/", name, "x"), testClient); v.Given() {
			t.Errorf("%s: %+v %v", name, v, i.found.Rules)
		}
		i.Close()
	}
}

func TestUnreadableBodies(t *testing.T) {
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	tests := []struct {
		name string
		ctx  context.Context
		err  error
		want verdict.Reason
	}{
		{"ended early", t.Context(), io.ErrUnexpectedEOF, verdict.BodyUnreadable},
		{"malformed chunk", t.Context(), errors.New("malformed chunked encoding"), verdict.BodyUnreadable},
		{"client gone", gone, errors.New("client disconnected"), verdict.ClientClosed},
		{"too slow", t.Context(), &os.PathError{Err: os.ErrDeadlineExceeded}, verdict.RequestTimeout},
		{"operator's limit", t.Context(), &http.MaxBytesError{Limit: 5}, verdict.BodyTooLarge},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := form("q", "x").WithContext(tt.ctx)
			r.Body = io.NopCloser(iotest.ErrReader(tt.err))
			if v, _ := judge(engineAt(t, 1, Block), r); v.Reason != tt.want {
				t.Fatalf("verdict %+v, want %q", v, tt.want)
			}
		})
	}
}

func TestSlurp(t *testing.T) {
	const limit = 100_000
	for _, size := range []int64{0, 1, firstRead - 1, firstRead, firstRead + 1, limit - 1, limit, limit + 1, 2 * limit} {
		for _, declared := range []int64{-1, size} {
			b := NewBudget(1 << 20)
			want := bytes.Repeat([]byte("x"), int(size))
			got, charged, err := slurp(iotest.HalfReader(bytes.NewReader(want)), declared, limit, b)
			if size > limit {
				if !errors.Is(err, errTooLarge) {
					t.Errorf("%d bytes: err = %v", size, err)
				}
			} else if err != nil || !bytes.Equal(got, want) {
				t.Errorf("%d bytes, declared %d: got %d, err = %v", size, declared, len(got), err)
			}
			if b.Used() != charged || charged > limit+1 {
				t.Errorf("%d bytes: %d charged, %d used", size, charged, b.Used())
			}
		}
	}
}

// TestDeclaredLengthIsOnlyAPromise: a client that announces much and sends little must not hold much.
func TestDeclaredLengthIsOnlyAPromise(t *testing.T) {
	b := NewBudget(1 << 30)
	_, charged, err := slurp(iotest.TimeoutReader(iotest.OneByteReader(strings.NewReader("abc"))), 10<<20, 10<<20, b)
	if !errors.Is(err, iotest.ErrTimeout) || charged > firstRead {
		t.Fatalf("%d bytes charged, err = %v", charged, err)
	}
}

func TestBudget(t *testing.T) {
	e, err := New(Config{Paranoia: 1, Mode: Block, BodyLimit: testLimit}, NewBudget(100_000))
	if err != nil {
		t.Fatal(err)
	}
	first, second := e.Inspect("1"), e.Inspect("2")
	r := body("POST", "/", "text/plain", strings.Repeat("a ", 10_000))
	first.Head(r, testClient)
	if v := first.Body(r); v.Given() {
		t.Fatalf("the first: %+v", v)
	}
	if used := e.budget.Used(); used < 20_000 || used > 40_000 {
		t.Errorf("%d bytes in use while 20,000 wait for the backend", used)
	}
	r = body("POST", "/", "text/plain", strings.Repeat("a ", 20_000))
	second.Head(r, testClient)
	if v := second.Body(r); v.Reason != verdict.WAFFailed || v.RetryAfter <= 0 || second.outcome != Failed {
		t.Errorf("over the budget: %+v, outcome %q", v, second.outcome)
	}
	second.Close()
	first.Close()
	first.Close()
	if used := e.budget.Used(); used != 0 {
		t.Errorf("%d bytes still in use", used)
	}
}

func TestDetectModePassesWhatItCannotHold(t *testing.T) {
	e, err := New(Config{Paranoia: 1, Mode: Detect, BodyLimit: testLimit}, NewBudget(50_000))
	if err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{25_000, 60_000, testLimit + 5} {
		want := strings.Repeat("a", size)
		r := chunked(body("POST", "/", "text/plain", want))
		v, i := judge(e, r)
		if v.Given() || i.skipped == "" {
			t.Errorf("%d bytes: verdict %+v, skipped %q", size, v, i.skipped)
		}
		if got, err := io.ReadAll(r.Body); err != nil || string(got) != want {
			t.Errorf("%d bytes: the backend got %d, %v", size, len(got), err)
		}
	}
	if used := e.budget.Used(); used != 0 {
		t.Errorf("%d bytes still in use", used)
	}
}

// FuzzReplay: whatever a body holds and however it arrives, the backend gets it byte for byte, or nothing.
func FuzzReplay(f *testing.F) {
	f.Add("application/json", []byte(`{"a":[1,2,{"b":null}]}`), true)
	f.Add("application/x-www-form-urlencoded", []byte("a=1&b=%zz&&=;"), false)
	f.Add("multipart/form-data; boundary=b", []byte("--b\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n--b--\r\n"), true)
	f.Add("text/xml", []byte("<a b='c'>d</a>"), false)
	f.Add("image/png", []byte("\x89PNG\x00"), true)
	f.Add("", []byte("\xff\xfe\x00"), false)
	f.Fuzz(func(t *testing.T, contentType string, want []byte, known bool) {
		r := body("POST", "/", "", string(want))
		r.Header["Content-Type"] = []string{contentType}
		if !known {
			chunked(r)
		}
		length := r.ContentLength
		e := engineAt(t, 1, Block)
		v, i := judge(e, r)
		if i.panics {
			t.Fatalf("panic: %+v", v)
		}
		if e.budget.Used() != 0 {
			t.Fatal("budget leaks")
		}
		if v.Given() {
			return
		}
		got, err := io.ReadAll(r.Body)
		if err != nil || !bytes.Equal(got, want) || r.ContentLength != length {
			t.Fatalf("got %q (length %d), %v; want %q (%d)", got, r.ContentLength, err, want, length)
		}
		if err := r.Body.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// TestUploadsLeaveNoFiles: nothing of an upload is written to the disk, whatever tags the gateway was built with. (Coraza
// would refuse an upload that it cannot write.)
func TestUploadsLeaveNoFiles(t *testing.T) {
	t.Setenv("TMPDIR", filepath.Join(t.TempDir(), "absent"))
	for _, prover := range []Switch{On, Off} {
		if v, i := judge(engineOf(t, Config{Prover: prover}), upload("hello", "a.bin", "application/octet-stream", "a file")); v.Given() {
			t.Errorf("prover %s: %+v, rules %v", prover, v, i.found.Rules)
		}
	}
}

// TestSlurpBelievesWhatHasCome: an upload of 256 KB is copied twice while it grows, and a promise of megabytes holds no more
// than four times what was sent for it.
func TestSlurpBelievesWhatHasCome(t *testing.T) {
	const declared = 256<<10 + 300
	b := NewBudget(1 << 20)
	made := testing.AllocsPerRun(10, func() {
		_, charged, err := slurp(bytes.NewReader(make([]byte, declared)), declared, 10<<20, b)
		if b.give(charged); err != nil || charged != declared+1 {
			t.Fatal(charged, err)
		}
	})
	if made > 5 { // three buffers, the body and its reader
		t.Errorf("%v allocations", made)
	}
	for _, sent := range []int{firstRead - 1, firstRead, 5 * firstRead} {
		body := io.MultiReader(bytes.NewReader(make([]byte, sent)), iotest.ErrReader(iotest.ErrTimeout))
		_, charged, err := slurp(body, 10<<20, 10<<20, b)
		if b.give(charged); err == nil || charged > int64(max(firstRead, 4*sent)) {
			t.Errorf("%d bytes sent hold %d: %v", sent, charged, err)
		}
	}
}
