package processors

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/corazawaf/coraza/v3"
	"github.com/corazawaf/coraza/v3/experimental/plugins"
	"github.com/corazawaf/coraza/v3/experimental/plugins/plugintypes"
	"github.com/corazawaf/coraza/v3/types"
)

// ours are the names under which the wrapped processors stand beside the original ones in this package's tests.
const ours = "wrapped-"

func init() {
	for _, name := range names {
		p, err := wrapped(name)
		if err != nil {
			panic(err)
		}
		plugins.RegisterBodyProcessor(ours+name, func() plugintypes.BodyProcessor { return p })
	}
}

// engines has one engine for each processor, by its name.
func engines(t testing.TB) map[string]coraza.WAF {
	t.Helper()
	all := map[string]coraza.WAF{}
	for _, name := range names {
		for _, full := range []string{name, ours + name} {
			e, err := coraza.NewWAF(coraza.NewWAFConfig().WithDirectives(fmt.Sprintf(`
				SecRuleEngine On
				SecRequestBodyAccess On
				SecRequestBodyLimit 2000000
				SecRequestBodyInMemoryLimit 2000000
				SecArgumentsLimit 50
				SecRequestBodyJsonDepthLimit 20
				SecAction "id:1,phase:1,pass,nolog,ctl:requestBodyProcessor=%s"`, full)))
			if err != nil {
				t.Fatal(err)
			}
			all[full] = e
		}
	}
	return all
}

// seen describes everything that a body left in a transaction, in an order that does not depend on maps.
func seen(t testing.TB, e coraza.WAF, body string) []string { return seenBy(t, e, body, false) }

// seenBy is seen, where the transaction may ask for the quick reader.
func seenBy(t testing.TB, e coraza.WAF, body string, hurry bool) []string {
	t.Helper()
	tx := e.NewTransaction()
	defer func() { _ = tx.Close() }()
	tx.ProcessURI("/", "POST", "HTTP/1.1")
	tx.ProcessRequestHeaders()
	v := tx.(plugintypes.TransactionState).Variables()
	if hurry {
		Quick(v)
	}
	if _, _, err := tx.WriteRequestBody([]byte(body)); err != nil {
		t.Fatal(err)
	}
	if _, err := tx.ProcessRequestBody(); err != nil {
		t.Fatal(err)
	}
	v.TX().Remove(quick)
	var all []string
	for name, list := range map[string][]types.MatchData{
		"ARGS_POST": v.ArgsPost().FindAll(), "REQUEST_BODY": v.RequestBody().FindAll(), "TX": v.TX().FindAll(),
		"REQUEST_BODY_LENGTH": v.RequestBodyLength().FindAll(), "REQBODY_ERROR": v.RequestBodyError().FindAll(),
		"REQBODY_ERROR_MSG": v.RequestBodyErrorMsg().FindAll(), "ARGUMENTS_LIMIT_REACHED": v.ArgumentsLimitReached().FindAll(),
	} {
		for _, m := range list {
			value := strings.TrimPrefix(m.Value(), strings.ToUpper(ours)) // messages begin with the processor's name
			all = append(all, fmt.Sprintf("%s:%q=%q", name, m.Key(), value))
		}
	}
	slices.Sort(all)
	return all
}

// corpus are bodies that say something about a processor: well formed or not, empty, cut off, deep, with many arguments,
// and longer than every buffer.
func corpus() []string {
	list := []string{
		"a", "=", "a=1&b=2&a=3", "&&a=%41%zz%4&+=+", `{}`, `[]`, `null`, `"text"`, `{"a":1,"b":{"c":[1,2,null,true,"x"]}}`,
		`{"a":1,"a":2}`, `{"a":`, `{"a":"\u00e4\ud83d"}`, "{\"a\":\"\xff\"}", strings.Repeat("[", 40) + strings.Repeat("]", 40),
		"[" + strings.Repeat("1,", 80) + "1]", "not json", "\x00", strings.Repeat("a=1&", 60),
	}
	for _, n := range []int{32<<10 - 1, 32 << 10, 32<<10 + 1, 64 << 10, maxRoom - 1, maxRoom, maxRoom + 1, 2*maxRoom + 17} {
		list = append(list, "a="+strings.Repeat("x", n-2), `{"a":"`+strings.Repeat("y", n-8)+`"}`)
	}
	return list
}

func TestSameAsCorazas(t *testing.T) {
	all := engines(t)
	for _, name := range names {
		distinct := map[string]bool{}
		for _, body := range corpus() {
			want, got := seen(t, all[name], body), seen(t, all[ours+name], body)
			if !slices.Equal(want, got) {
				t.Errorf("%s of %.60q:\nCoraza %.300q\nours   %.300q", name, body, want, got)
			}
			distinct[strings.Join(want, "\n")] = true
		}
		if len(distinct) < 15 {
			t.Errorf("%s: only %d of the bodies differ in what they show", name, len(distinct))
		}
	}
}

func FuzzSameAsCorazas(f *testing.F) {
	for _, body := range corpus() {
		if len(body) < 1000 {
			f.Add(body)
		}
	}
	all := engines(f)
	f.Fuzz(func(t *testing.T, body string) {
		if folded := strings.ToLower(body); folded != body {
			t.Skip("of names that differ by case alone, Coraza keeps one by chance")
		}
		for _, name := range names {
			if want, got := seen(t, all[name], body), seen(t, all[ours+name], body); !slices.Equal(want, got) {
				t.Errorf("%s of %q:\nCoraza %q\nours   %q", name, body, want, got)
			}
		}
	})
}

// bitwise copies as io.Copy does for a source that does not write itself.
func bitwise(r io.Reader) (string, error) {
	var b strings.Builder
	_, err := io.Copy(&b, struct{ io.Reader }{r})
	return b.String(), err
}

func TestWriteToIsIOCopy(t *testing.T) {
	broken := errors.New("broken")
	r := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{0, 1, 100, 32 << 10, 32<<10 + 1, maxRoom, maxRoom + 1, 3*maxRoom + 5} {
		data := make([]byte, n)
		for i := range data {
			data[i] = byte(r.Uint32())
		}
		for name, reader := range map[string]func() io.Reader{
			"whole":    func() io.Reader { return bytes.NewReader(data) },
			"halves":   func() io.Reader { return iotest.HalfReader(bytes.NewReader(data)) },
			"with EOF": func() io.Reader { return iotest.DataErrReader(bytes.NewReader(data)) },
			"broken":   func() io.Reader { return io.MultiReader(bytes.NewReader(data), iotest.ErrReader(broken)) },
		} {
			want, wantErr := bitwise(reader())
			var b strings.Builder
			written, err := source{reader()}.WriteTo(&b)
			if b.String() != want || !errors.Is(err, wantErr) || written != int64(len(want)) {
				t.Errorf("%d bytes, %s: %d bytes, %v; io.Copy has %d, %v", n, name, written, err, len(want), wantErr)
			}
		}
	}
}

// full takes some bytes and no more.
type full struct{ room int }

func (f *full) Write(p []byte) (int, error) {
	n := min(len(p), f.room)
	f.room -= n
	if n < len(p) {
		return n, io.ErrShortBuffer
	}
	return n, nil
}

func TestWriteToStopsAtAnError(t *testing.T) {
	for _, room := range []int{0, 10, maxRoom, maxRoom + 10} {
		n, err := source{strings.NewReader(strings.Repeat("x", 2*maxRoom))}.WriteTo(&full{room})
		if !errors.Is(err, io.ErrShortBuffer) || n != int64(room) {
			t.Errorf("room for %d: %d, %v", room, n, err)
		}
	}
}

func TestNoBufferIsThrownAway(t *testing.T) {
	if underRace {
		t.Skip("sync.Pool forgets at random under the race detector")
	}
	body := `{"a":"` + strings.Repeat("x", 500) + `"}`
	all := engines(t)
	cost := func(name string) int64 {
		return testing.Benchmark(func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				seen(b, all[name], body)
			}
		}).AllocedBytesPerOp()
	}
	if was, is := cost("json"), cost(ours+"json"); was-is < 30<<10 {
		t.Errorf("Coraza's allocates %d bytes, ours %d", was, is)
	}
}
