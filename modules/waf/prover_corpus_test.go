package waf

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	crstests "github.com/corazawaf/coraza-coreruleset/v4/tests"
	"go.yaml.in/yaml/v3"
)

// CRS's own regression corpus as exchanges. What its authors expect is testenv's business (TestCRS, where the bytes are
// sent over the wire): here only what two engines say about the same matters, so that requests count which Go's server
// would not let through.

// corpusInput is what is read of a stage.
type corpusInput struct {
	Method         *string           `yaml:"method"`
	URI            *string           `yaml:"uri"`
	Headers        map[string]string `yaml:"headers"`
	OrderedHeaders []struct {
		Name  string `yaml:"name"`
		Value string `yaml:"value"`
	} `yaml:"ordered_headers"`
	Data           string `yaml:"data"`
	EncodedData    string `yaml:"encoded_data"`
	EncodedRequest string `yaml:"encoded_request"`
}

// crsExchanges reads the corpus once.
var crsExchanges = sync.OnceValues(func() (all []*exchange, err error) {
	err = fs.WalkDir(crstests.FS, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || path.Ext(name) != ".yaml" {
			return err
		}
		text, err := fs.ReadFile(crstests.FS, name)
		if err != nil {
			return err
		}
		var file struct {
			Rule  int `yaml:"rule_id"`
			Tests []struct {
				ID     int `yaml:"test_id"`
				Stages []struct {
					Input corpusInput `yaml:"input"`
				} `yaml:"stages"`
			} `yaml:"tests"`
		}
		if err := yaml.Unmarshal(text, &file); err != nil && err != io.EOF {
			return fmt.Errorf("%s: %w", name, err)
		}
		for _, test := range file.Tests {
			for n, stage := range test.Stages {
				x, err := stage.Input.exchange()
				if err != nil {
					return fmt.Errorf("%s: test %d: %w", name, test.ID, err)
				}
				x.name = fmt.Sprintf("%d-%d-%d", file.Rule, test.ID, n+1)
				all = append(all, x)
			}
		}
		return nil
	})
	return all, err
})

// corpusExchanges is the corpus, in the order of its files.
func corpusExchanges(t testing.TB) []*exchange {
	t.Helper()
	all, err := crsExchanges()
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 4000 {
		t.Fatalf("%d stages: the corpus has more", len(all))
	}
	return all
}

// counted is the one template of the corpus: {{ "1" | repeat 64200 }}.
var counted = regexp.MustCompile(`\{\{ "(.)" \| repeat ([0-9]+) \}\}`)

func (in *corpusInput) exchange() (*exchange, error) {
	x := &exchange{method: "GET", target: "/", host: "localhost"}
	if in.EncodedRequest != "" {
		raw, err := base64.StdEncoding.DecodeString(in.EncodedRequest)
		if err != nil {
			return nil, err
		}
		x.parse(string(raw))
	} else {
		if in.Method != nil {
			x.method = strings.TrimSpace(*in.Method)
		}
		if in.URI != nil {
			x.target = *in.URI
		}
		for name, value := range in.Headers {
			x.headers = append(x.headers, field{name, value})
		}
		slices.SortFunc(x.headers, func(a, b field) int { return strings.Compare(a.name, b.name) })
		for _, h := range in.OrderedHeaders {
			x.headers = append(x.headers, field{h.Name, h.Value})
		}
		x.body = counted.ReplaceAllFunc([]byte(in.Data), func(m []byte) []byte {
			part := counted.FindSubmatch(m)
			n, _ := strconv.Atoi(string(part[2]))
			return []byte(strings.Repeat(string(part[1]), n))
		})
		if in.EncodedData != "" {
			data, err := base64.StdEncoding.DecodeString(in.EncodedData)
			if err != nil {
				return nil, err
			}
			x.body = data
		}
	}
	x.complete()
	return x, nil
}

// complete does what the corpus's runner and Go's server do to every request, and makes the answer up.
func (x *exchange) complete() {
	if host := x.header("Host"); host != "" {
		x.host = host
		x.drop("Host")
	}
	if len(x.body) > 0 && x.header("Content-Type") == "" {
		x.set("Content-Type", "application/x-www-form-urlencoded")
	}
	if strings.HasPrefix(x.header("Content-Type"), "multipart/form-data;") {
		x.body = []byte(strings.ReplaceAll(strings.ReplaceAll(string(x.body), "\r\n", "\n"), "\n", "\r\n"))
	}
	if strings.EqualFold(x.header("Transfer-Encoding"), "chunked") {
		x.chunked = true
	}
	x.drop("Transfer-Encoding")
	if x.chunked {
		x.drop("Content-Length")
	} else if len(x.body) > 0 && x.header("Content-Length") == "" {
		x.set("Content-Length", strconv.Itoa(len(x.body)))
	}
	x.reflect()
}

// parse reads a request as lenient as it must be to keep the corpus's bytes; what is no line of it is lost.
func (x *exchange) parse(raw string) {
	head, body, ok := strings.Cut(raw, "\r\n\r\n")
	if !ok {
		head, body, _ = strings.Cut(raw, "\n\n")
	}
	lines := strings.Split(strings.ReplaceAll(head, "\r\n", "\n"), "\n")
	if words := strings.Fields(lines[0]); len(words) >= 2 {
		x.method, x.target = words[0], words[1]
	}
	for _, line := range lines[1:] {
		if name, value, ok := strings.Cut(line, ":"); ok {
			x.headers = append(x.headers, field{name, strings.TrimSpace(value)})
		}
	}
	x.body = []byte(body)
}

// reflect makes the answer up: below /reflect what the body says, as the corpus's backend does, otherwise a small page.
func (x *exchange) reflect() {
	x.status, x.whole = 200, true
	x.answer = []field{{"Content-Type", "text/html; charset=utf-8"}, {"Server", "backend"}}
	x.page = []byte("<!doctype html><title>Orders</title><p>Nothing to see here.</p>")
	if !strings.HasPrefix(x.target, "/reflect") {
		return
	}
	var spec struct {
		Status      int               `json:"status"`
		Headers     map[string]string `json:"headers"`
		Body        string            `json:"body"`
		EncodedBody []byte            `json:"encodedBody"`
	}
	if json.Unmarshal(x.body, &spec) != nil {
		return
	}
	if spec.Status > 0 {
		x.status = spec.Status
	}
	x.answer = []field{{"Content-Type", "text/plain; charset=utf-8"}}
	for name, value := range spec.Headers {
		x.answer = append(x.answer, field{name, value})
	}
	slices.SortFunc(x.answer, func(a, b field) int { return strings.Compare(a.name, b.name) })
	if x.page = []byte(spec.Body); len(x.page) == 0 {
		x.page = spec.EncodedBody
	}
}
