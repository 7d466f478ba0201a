package testenv

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"io/fs"
	"net/textproto"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// CRS's own regression corpus: how its files are read, and how a stage becomes bytes. Both follow go-ftw v1.3.0, the
// reference runner, where the schema leaves room.

// corpusModule is the module whose folder tests holds the corpus of the rules in the binary.
const corpusModule = "github.com/corazawaf/coraza-coreruleset/v4"

// stage is one request of the corpus and what CRS's authors expect of it.
type stage struct {
	ID     string // rule-test, as go-ftw names it; -stage behind it when a test has several
	Rule   int
	Desc   string
	Input  stageInput
	Output stageOutput
}

// stageInput says what is sent. Absent fields have go-ftw's defaults.
type stageInput struct {
	Method         *string           `yaml:"method"`
	URI            *string           `yaml:"uri"`
	Version        *string           `yaml:"version"`
	Headers        map[string]string `yaml:"headers"`
	OrderedHeaders []struct {
		Name  string `yaml:"name"`
		Value string `yaml:"value"`
	} `yaml:"ordered_headers"`
	Data           string `yaml:"data"`
	EncodedData    string `yaml:"encoded_data"`
	EncodedRequest string `yaml:"encoded_request"`
	StopMagic      *bool  `yaml:"stop_magic"` // the old name of the opposite of the next
	Autocomplete   *bool  `yaml:"autocomplete_headers"`

	// Where it would be sent, which is ours to say.
	DestAddr        any `yaml:"dest_addr"`
	Port            any `yaml:"port"`
	Protocol        any `yaml:"protocol"`
	VirtualHostMode any `yaml:"virtual_host_mode"`
}

// stageOutput says what must come of it.
type stageOutput struct {
	Status           int    `yaml:"status"`
	ResponseContains string `yaml:"response_contains"`
	ExpectError      bool   `yaml:"expect_error"`
	Isolated         bool   `yaml:"isolated"`
	RetryOnce        any    `yaml:"retry_once"` // for races of log readers that we do not have
	Log              struct {
		ExpectIDs    []int  `yaml:"expect_ids"`
		NoExpectIDs  []int  `yaml:"no_expect_ids"`
		MatchRegex   string `yaml:"match_regex"`
		NoMatchRegex string `yaml:"no_match_regex"`
	} `yaml:"log"`
}

// corpusFile is one file of the corpus. Fields that nobody here knows are an error: an expectation must not be lost.
type corpusFile struct {
	Meta        any `yaml:"meta"`
	Author      any `yaml:"author"` // in one file: meta, badly indented
	Description any `yaml:"description"`

	Rule  int `yaml:"rule_id"`
	Tests []struct {
		ID     int    `yaml:"test_id"`
		Title  any    `yaml:"test_title"`
		Desc   string `yaml:"desc"`
		Tags   any    `yaml:"tags"`
		Stages []struct {
			Desc   any         `yaml:"description"`
			Input  stageInput  `yaml:"input"`
			Output stageOutput `yaml:"output"`
		} `yaml:"stages"`
	} `yaml:"tests"`
}

// corpusDir is where the corpus's module lies.
func corpusDir(t testing.TB) string {
	t.Helper()
	cmd := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", corpusModule)
	cmd.Dir = root
	dir, err := cmd.Output()
	if err != nil {
		t.Fatalf("where is %s? %v", corpusModule, err)
	}
	return strings.TrimSpace(string(dir))
}

// corpus reads every stage of the corpus, in the order of its files.
func corpus(t testing.TB) []stage {
	t.Helper()
	var all []stage
	err := filepath.WalkDir(filepath.Join(corpusDir(t), "tests"), func(name string, _ fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(name) != ".yaml" {
			return err
		}
		content, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		stages, err := parseCorpus(content)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		all = append(all, stages...)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// parseCorpus reads one file.
func parseCorpus(content []byte) ([]stage, error) {
	var file corpusFile
	d := yaml.NewDecoder(bytes.NewReader(content))
	d.KnownFields(true)
	if err := d.Decode(&file); err == io.EOF {
		return nil, nil // some files hold comments only
	} else if err != nil {
		return nil, err
	}
	var stages []stage
	for _, test := range file.Tests {
		for n, s := range test.Stages {
			id := fmt.Sprintf("%d-%d", file.Rule, test.ID)
			if len(test.Stages) > 1 {
				id += "-" + strconv.Itoa(n+1)
			}
			if s.Output.empty() {
				return nil, fmt.Errorf("%s expects nothing", id)
			}
			stages = append(stages, stage{ID: id, Rule: file.Rule, Desc: strings.TrimSpace(test.Desc), Input: s.Input, Output: s.Output})
		}
	}
	return stages, nil
}

func (o *stageOutput) empty() bool {
	return o.Status == 0 && o.ResponseContains == "" && !o.ExpectError && !o.Isolated && len(o.Log.ExpectIDs) == 0 &&
		len(o.Log.NoExpectIDs) == 0 && o.Log.MatchRegex == "" && o.Log.NoMatchRegex == ""
}

// withBody is go-ftw's expression, its missing brackets included: it also finds PUTX and XDELETE.
var withBody = regexp.MustCompile(`^POST|PUT|PATCH|DELETE$`)

// bytes is the stage as it goes on the wire.
func (in *stageInput) bytes() ([]byte, error) {
	if in.EncodedRequest != "" {
		return base64.StdEncoding.DecodeString(in.EncodedRequest)
	}
	data, err := expand([]byte(in.Data)), error(nil)
	if in.EncodedData != "" {
		if data, err = base64.StdEncoding.DecodeString(in.EncodedData); err != nil {
			return nil, err
		}
	}
	h := map[string]string{}
	for name, value := range in.Headers {
		h[name] = value
	}
	complete := in.Autocomplete == nil || *in.Autocomplete
	if in.StopMagic != nil {
		complete = !*in.StopMagic
	}
	if complete && len(data) > 0 {
		addHeader(h, "Content-Type", "application/x-www-form-urlencoded")
		data = encodeForm(headerOf(h, "Content-Type"), data)
	}
	if strings.HasPrefix(headerOf(h, "Content-Type"), "multipart/form-data;") {
		data = bytes.ReplaceAll(data, []byte("\n"), []byte("\r\n"))
	}
	if complete {
		addHeader(h, "Connection", "close")
		if len(data) > 0 || withBody.MatchString(given(in.Method, "GET")) {
			addHeader(h, "Content-Length", strconv.Itoa(len(data)))
		}
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s %s\r\n", given(in.Method, "GET"), given(in.URI, "/"), given(in.Version, "HTTP/1.1"))
	for _, name := range sortedKeys(h) {
		b.WriteString(name + ": " + h[name] + "\r\n")
	}
	for _, line := range in.OrderedHeaders {
		b.WriteString(line.Name + ": " + line.Value + "\r\n")
	}
	b.WriteString("\r\n")
	b.Write(data)
	return b.Bytes(), nil
}

// repeated is the one template that the corpus uses in its data: {{ "1" | repeat 64200 }}.
var repeated = regexp.MustCompile(`\{\{ "(.)" \| repeat ([0-9]+) \}\}`)

// expand writes out what a test only counts. Other braces are sent as they are; go-ftw would send nothing.
func expand(data []byte) []byte {
	return repeated.ReplaceAllFunc(data, func(template []byte) []byte {
		part := repeated.FindSubmatch(template)
		n, err := strconv.Atoi(string(part[2]))
		if err != nil {
			return template
		}
		return bytes.Repeat(part[1], n)
	})
}

// encodeForm escapes the names and values of a form, unless something of it is escaped already.
func encodeForm(contentType string, data []byte) []byte {
	if contentType != "application/x-www-form-urlencoded" {
		return data
	}
	if plain, err := url.QueryUnescape(string(data)); err != nil || plain != string(data) {
		return data
	}
	pairs := strings.Split(string(data), "&")
	if last := len(pairs) - 1; pairs[last] == "" {
		pairs = pairs[:last]
	}
	for i, pair := range pairs {
		name, value, ok := strings.Cut(pair, "=")
		pairs[i] = url.QueryEscape(name)
		if ok {
			pairs[i] += "=" + url.QueryEscape(value)
		}
	}
	return []byte(strings.Join(pairs, "&"))
}

func given(s *string, fallback string) string {
	if s == nil {
		return fallback
	}
	return *s
}

func sortedKeys(h map[string]string) []string {
	names := make([]string, 0, len(h))
	for name := range h {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// headerOf is the value of a header, whatever its case.
func headerOf(h map[string]string, name string) string {
	for k, v := range h {
		if textproto.CanonicalMIMEHeaderKey(k) == textproto.CanonicalMIMEHeaderKey(name) {
			return v
		}
	}
	return ""
}

// addHeader sets a header that is absent or empty.
func addHeader(h map[string]string, name, value string) {
	if headerOf(h, name) != "" {
		return
	}
	for k := range h {
		if textproto.CanonicalMIMEHeaderKey(k) == name {
			delete(h, k)
		}
	}
	h[name] = value
}

// TestCorpusBytes: stages become the bytes that go-ftw v1.3.0 makes of them.
func TestCorpusBytes(t *testing.T) {
	const head = "rule_id: 1\ntests:\n- test_id: 2\n  stages:\n  - output: {status: 200}\n    input: "
	tests := []struct{ name, input, want string }{
		{"defaults", `{}`, "GET / HTTP/1.1\r\nConnection: close\r\n\r\n"},
		{"as it is", `{method: "\tGET", uri: "*", version: "", autocomplete_headers: false}`, "\tGET * \r\n\r\n"},
		{"the old word for it", `{stop_magic: true, data: "a b"}`, "GET / HTTP/1.1\r\n\r\na b"},
		{"headers in order", `{headers: {b: "1", A: "2", connection: x}}`, "GET / HTTP/1.1\r\nA: 2\r\nb: 1\r\nconnection: x\r\n\r\n"},
		{"no body where there may be one", `{method: POST}`, "POST / HTTP/1.1\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"},
		{"a form", `{data: "a=1 2&b&c=<&"}`, "GET / HTTP/1.1\r\nConnection: close\r\nContent-Length: 13\r\n" +
			"Content-Type: application/x-www-form-urlencoded\r\n\r\na=1+2&b&c=%3C"},
		{"a form that is encoded", `{data: "a=1+2&b=<"}`, "GET / HTTP/1.1\r\nConnection: close\r\nContent-Length: 9\r\n" +
			"Content-Type: application/x-www-form-urlencoded\r\n\r\na=1+2&b=<"},
		{"multipart", `{headers: {Content-Type: multipart/form-data; boundary=x}, data: "--x\n\n--x--"}`, "GET / HTTP/1.1\r\nConnection: close\r\n" +
			"Content-Length: 12\r\nContent-Type: multipart/form-data; boundary=x\r\n\r\n--x\r\n\r\n--x--"},
		{"its own length", `{headers: {Content-Length: "9", Content-Type: text/plain}, data: 'x{{ "1" | repeat 4 }}{{y}}'}`, "GET / HTTP/1.1\r\n" +
			"Connection: close\r\nContent-Length: 9\r\nContent-Type: text/plain\r\n\r\nx1111{{y}}"},
		{"encoded", `{encoded_request: "R0VUIA=="}`, "GET "},
		{"encoded data", `{stop_magic: true, encoded_data: "AAE="}`, "GET / HTTP/1.1\r\n\r\n\x00\x01"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			stages, err := parseCorpus([]byte(head + tt.input))
			if err != nil || len(stages) != 1 || stages[0].ID != "1-2" {
				t.Fatal(stages, err)
			}
			if got, err := stages[0].Input.bytes(); err != nil || string(got) != tt.want {
				t.Fatalf("%q, %v; want %q", got, err, tt.want)
			}
		})
	}
	for name, text := range map[string]string{
		"an unknown field": head + `{methd: GET}`,
		"no expectation":   strings.Replace(head, "{status: 200}", "{}", 1) + `{}`,
	} {
		if _, err := parseCorpus([]byte(text)); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}
