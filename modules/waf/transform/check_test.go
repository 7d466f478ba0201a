package transform

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"unsafe"

	"gatehouse.internal/modules/waf/symbol"
)

// lettersApart is s with its ASCII letters, and nothing else, in lower case.
func lettersApart(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

// checkPromises says which of a transformation's promises does not hold for the value.
func checkPromises(t *Transformation, s string) error {
	set, out := symbol.Of(s), t.Apply(s)
	var errs []error
	if active := t.Active(); active != symbol.All && !active.Meets(set) && out != s {
		errs = append(errs, fmt.Errorf("%s of %q is %q, but it has no active symbol", t.Name(), s, out))
	}
	// A set that holds the value's symbols must give an image that holds the result's: the exact one, and larger ones.
	for _, in := range []symbol.Set{set, set | symbol.Lower | symbol.Byte('-'), set | symbol.Digit | symbol.Byte('%'), symbol.All} {
		image, ok := t.Image(in)
		if !image.Holds(symbol.Of(out)) {
			errs = append(errs, fmt.Errorf("%s of %q is %q, which is not in the image of %x", t.Name(), s, out, in))
		}
		if ok == (image == symbol.All) {
			errs = append(errs, fmt.Errorf("%s: the image of %x is %x, %v", t.Name(), in, image, ok))
		}
	}
	if t.onlyFolds(s, set, false) && lettersApart(out) != lettersApart(s) {
		errs = append(errs, fmt.Errorf("%s of %q is %q, which differs in more than case", t.Name(), s, out))
	}
	if out == s && s != "" && t.whole == nil && t.active != symbol.All && unsafe.StringData(out) != unsafe.StringData(s) {
		errs = append(errs, fmt.Errorf("%s of %q is a copy", t.Name(), s))
	}
	return errors.Join(errs...)
}

// checkChain is checkPromises for a chain, and that its ways to a result agree.
func checkChain(c *Chain, s string) error {
	set, out, stages := symbol.Of(s), c.Apply(s), c.Stages(s, nil)
	var errs []error
	if active := c.Active(); active != symbol.All && !active.Meets(set) {
		for _, stage := range append(stages, out) {
			if stage != s {
				errs = append(errs, fmt.Errorf("%s of %q has %q, but no active symbol", c.Key(), s, stage))
			}
		}
	}
	if image, ok := c.Image(set); !image.Holds(symbol.Of(out)) || ok == (image == symbol.All) {
		errs = append(errs, fmt.Errorf("%s of %q is %q, not in its image %x, %v", c.Key(), s, out, image, ok))
	}
	image, _ := c.StagesImage(set)
	for _, stage := range stages {
		if !image.Holds(symbol.Of(stage)) {
			errs = append(errs, fmt.Errorf("%s of %q has %q, not in its image %x", c.Key(), s, stage, image))
		}
	}
	if c.FoldsOnly(s, set) && lettersApart(out) != lettersApart(s) {
		errs = append(errs, fmt.Errorf("%s of %q is %q, which differs in more than case", c.Key(), s, out))
	}
	for _, dst := range [][]byte{nil, []byte("kept"), append(make([]byte, 0, 4096), "kept"...)} {
		before := string(dst)
		got, ok := c.AppendTo(dst, s)
		if !ok || string(got) != before+out {
			errs = append(errs, fmt.Errorf("%s of %q appended to %q is %q, %v, not %q", c.Key(), s, before, got, ok, out))
		}
	}
	return errors.Join(errs...)
}

// checkOracle compares with Coraza what it hands to each rule's operator for the value.
func checkOracle(tb testing.TB, o *oracle, value string) error {
	tb.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	var errs []error
	for i, want := range o.ask(tb, value) {
		c := chainOf(tb, o.chains[i].names...)
		got := []string{c.Apply(value)}
		if o.chains[i].multi {
			got = c.Stages(value, nil)
		}
		if !slices.Equal(got, want) {
			errs = append(errs, fmt.Errorf("%v of %q:\n got %q\nwant %q", o.chains[i], value, got, want))
		}
	}
	return errors.Join(errs...)
}

// A checker that finds nothing proves nothing: here are transformations that promise too much.
func TestCheckerFindsWrongPromises(t *testing.T) {
	broken := func(name string, breakIt func(*Transformation)) *Transformation {
		found, ok := Lookup(name)
		if !ok {
			t.Fatal(name)
		}
		wrong := *found
		breakIt(&wrong)
		return &wrong
	}
	for _, row := range []struct {
		name  string
		wrong *Transformation
		value string
	}{
		{"an active symbol left out", broken("urldecode", func(t *Transformation) { t.active = symbol.Byte('%') }), "a+b"},
		{"lowercase without High", broken("lowercase", func(t *Transformation) { t.active = symbol.Upper }), "É"},
		{"an image without the new", broken("lowercase", func(t *Transformation) { t.image = same }), "A"},
		{"an image of the exact set only", broken("removenulls", func(t *Transformation) {
			t.image = func(in symbol.Set) symbol.Set { return in &^ symbol.Lower }
		}), "a"},
		{"folds too eagerly", broken("cmdline", func(t *Transformation) {
			t.folds = func(string, symbol.Set) bool { return true }
		}), "a;B"},
		{"a start after the first change", broken("urldecode", func(t *Transformation) {
			t.start = func(string) int { return -1 }
			t.write = nil
			t.whole = func(string) string { return "?" }
		}), "a"},
	} {
		t.Run(row.name, func(t *testing.T) {
			if checkPromises(row.wrong, row.value) == nil {
				t.Error("not found")
			}
			c := &Chain{steps: []*Transformation{row.wrong}, key: row.wrong.name, active: row.wrong.active}
			if row.name != "an image of the exact set only" && checkChain(c, row.value) == nil {
				t.Error("not found in a chain")
			}
		})
	}
	o := newOracle(t, [][]string{{"lowercase"}})
	o.chains[0].names = []string{"uppercase"}
	if checkOracle(t, o, "a") == nil {
		t.Error("a different result was not found")
	}
}
