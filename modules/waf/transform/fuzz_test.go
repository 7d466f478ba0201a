package transform

import (
	"testing"

	"gatehouse.internal/modules/waf/symbol"
)

func addSeeds(f *testing.F) {
	for _, value := range nasty {
		f.Add(value)
	}
}

// FuzzApply compares every transformation alone with Coraza's.
func FuzzApply(f *testing.F) {
	addSeeds(f)
	o := newOracle(f, singles())
	f.Fuzz(func(t *testing.T, value string) {
		if err := checkOracle(t, o, value); err != nil {
			t.Fatal(err)
		}
	})
}

// FuzzStages compares all chains, with and without multiMatch.
func FuzzStages(f *testing.F) {
	addSeeds(f)
	o, chains := everything(f)
	f.Fuzz(func(t *testing.T, value string) {
		if err := checkOracle(t, o, value); err != nil {
			t.Fatal(err)
		}
		for _, c := range chains {
			if err := checkChain(c, value); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// FuzzImage holds every transformation's promises against a value and a set that holds the value's symbols.
func FuzzImage(f *testing.F) {
	for _, value := range nasty {
		f.Add(value, uint64(0))
		f.Add(value, uint64(symbol.Digit|symbol.Lower))
	}
	f.Fuzz(func(t *testing.T, value string, more uint64) {
		in := symbol.Of(value) | symbol.Set(more)&symbol.All
		for _, tr := range table {
			if err := checkPromises(tr, value); err != nil {
				t.Fatal(err)
			}
			if image, _ := tr.Image(in); !image.Holds(symbol.Of(tr.Apply(value))) {
				t.Fatalf("%s of %q is %q, not in the image %x of %x", tr.Name(), value, tr.Apply(value), image, in)
			}
		}
	})
}
