package secret

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"testing"
)

const hidden = "hunter2"

type holder struct {
	Name     string
	Exported String
	Pointer  *String
	hidden   String
	list     []String
	byName   map[string]String
	any      any
	deep     struct{ hidden *String }
}

type document struct{ S String }

func newHolder() holder {
	s := New(hidden)
	h := holder{Name: "x", Exported: s, Pointer: &s, hidden: s, list: []String{s}, byName: map[string]String{"k": s}, any: s}
	h.deep.hidden = &s
	return h
}

func TestFmt(t *testing.T) {
	s, h := New(hidden), newHolder()
	values := map[string]any{"value": s, "pointer": &s, "struct": h, "struct pointer": &h, "slice": []String{s}, "map": map[string]any{"k": h}, "any": []any{s, &h}}
	for name, v := range values {
		for c := rune(' '); c < 0x7f; c++ {
			for _, flags := range []string{"", "+", "#", "-20", " ", "0", ".3", "[1]"} {
				got := fmt.Sprintf("%"+flags+string(c), v)
				if leaks(got) {
					t.Errorf("%s with %%%s%c: %s", name, flags, c, got)
				}
			}
		}
		if got := fmt.Sprint(v) + fmt.Sprintln(v) + fmt.Errorf("x: %v", v).Error(); leaks(got) {
			t.Errorf("%s: %s", name, got)
		}
	}
	for _, verb := range []string{"%s", "%v", "%+v", "%#v", "%q", "%x", "%d"} {
		if got := fmt.Sprintf(verb, s); got != Mask {
			t.Errorf("%s = %q, want the mask", verb, got)
		}
	}
}

// leaks looks for the text, and for its bytes as hex and decimal.
func leaks(s string) bool {
	s = strings.ToLower(s)
	return strings.Contains(s, "unter") || strings.Contains(s, "756e746572") || strings.Contains(s, "75 6e 74") || strings.Contains(s, "117 110 116")
}

func TestMarshal(t *testing.T) {
	h := newHolder()
	for name, fn := range map[string]func() ([]byte, error){
		"json":         func() ([]byte, error) { return json.Marshal(h) },
		"json pointer": func() ([]byte, error) { return json.Marshal(&h) },
		"json indent":  func() ([]byte, error) { return json.MarshalIndent(map[string]any{"h": h, "s": h.hidden}, "", " ") },
		"xml":          func() ([]byte, error) { return xml.Marshal(document{h.hidden}) },
		"slog text": func() ([]byte, error) {
			return logged(h, func(b *bytes.Buffer) slog.Handler { return slog.NewTextHandler(b, nil) })
		},
		"slog json": func() ([]byte, error) {
			return logged(h, func(b *bytes.Buffer) slog.Handler { return slog.NewJSONHandler(b, nil) })
		},
	} {
		got, err := fn()
		if err != nil || leaks(string(got)) || !bytes.Contains(got, []byte(Mask)) {
			t.Errorf("%s = %s, %v", name, got, err)
		}
	}
	if got, err := json.Marshal(struct {
		A String
		B String `json:",omitzero"`
	}{}); err != nil || string(got) != `{"A":""}` {
		t.Errorf("empty = %s, %v", got, err)
	}
}

func logged(h holder, handler func(*bytes.Buffer) slog.Handler) ([]byte, error) {
	var b bytes.Buffer
	slog.New(handler(&b)).Info("m", "value", h.hidden, "pointer", &h.hidden, "struct", h, slog.Group("g", "s", h.hidden))
	return b.Bytes(), nil
}

// TestReflection: a dumper that follows everything, unexported or not, finds no text.
func TestReflection(t *testing.T) {
	seen := map[uintptr]bool{}
	var walk func(v reflect.Value)
	walk = func(v reflect.Value) {
		switch v.Kind() {
		case reflect.String:
			if leaks(v.String()) {
				t.Error("found it")
			}
		case reflect.Pointer, reflect.Interface:
			if v.Kind() == reflect.Pointer {
				if seen[v.Pointer()] {
					return
				}
				seen[v.Pointer()] = true
			}
			if !v.IsNil() {
				walk(v.Elem())
			}
		case reflect.Struct:
			for i := range v.NumField() {
				walk(v.Field(i))
			}
		case reflect.Slice:
			for i := range v.Len() {
				walk(v.Index(i))
			}
		case reflect.Map:
			for _, k := range v.MapKeys() {
				walk(v.MapIndex(k))
			}
		}
	}
	h := newHolder()
	walk(reflect.ValueOf(&h))
}

func TestUnmarshal(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"text", `"hunter2"`, "hunter2"},
		{"escapes", `"a\"\u00e9"`, `a"é`},
		{"empty", `""`, ""},
		{"null keeps", `null`, "before"},
	} {
		s := New("before")
		if err := json.Unmarshal([]byte(c.in), &s); err != nil || s.Reveal() != c.want {
			t.Errorf("%s: %q, %v; want %q", c.name, s.Reveal(), err, c.want)
		}
	}
	s := New("before")
	if err := json.Unmarshal([]byte(`"***"`), &s); !errors.Is(err, ErrMasked) || s.Reveal() != "before" {
		t.Errorf("mask: %v", err)
	}
	if err := s.UnmarshalText([]byte(Mask)); !errors.Is(err, ErrMasked) {
		t.Errorf("mask as text: %v", err)
	}
	if err := json.Unmarshal([]byte(`{"hunter2": 1}`), &s); err == nil || leaks(err.Error()) {
		t.Errorf("object: %v", err)
	}
	if err := s.UnmarshalJSON([]byte(`hunter2`)); err == nil || leaks(err.Error()) {
		t.Errorf("bad JSON: %v", err)
	}
}

func TestEqual(t *testing.T) {
	for _, c := range []struct {
		name string
		a, b String
		want bool
	}{
		{"same", New("a"), New("a"), true},
		{"other", New("a"), New("b"), false},
		{"longer", New("a"), New("aa"), false},
		{"one empty", New("a"), String{}, false},
		{"other empty", String{}, New("a"), false},
		{"both empty", String{}, New(""), false},
	} {
		if got := c.a.Equal(c.b); got != c.want {
			t.Errorf("%s: %t", c.name, got)
		}
	}
	if !New("").IsEmpty() || New("a").IsEmpty() || !(String{}).IsZero() || New("a").Reveal() != "a" {
		t.Error("IsEmpty, IsZero or Reveal")
	}
}
