package breakglass

import (
	"strings"
	"testing"
	"unicode"

	"gatehouse.internal/modules/internal/keyring"
	"gatehouse.internal/modules/internal/store"
)

func TestCanonicalCode(t *testing.T) {
	const code = "0123456789ABCDEFGHJKMNPQR"
	for typed, want := range map[string]string{
		code: code, "01234-56789-ABCDE-FGHJK-MNPQR": code, " o1234 56789 abcde fghjk mnpqr ": code, "OI2345–6789ABCDEFGHJKMNPQR": code,
		"Oi234-56789-ABCDE-FGHJK-MNPQR": code, "Ol234-56789-ABCDE-FGHJK-MNPQR": code, "01234‑56789‑ABCDE‑FGHJK‑MNPQR": code,
		"": "", code + "0": "", code[1:]: "", code[1:] + "U": "", code[1:] + "é": "", strings.Repeat("-", 200) + code: "", code[1:] + "\x00": "",
	} {
		if got := canonicalCode(typed); got != want {
			t.Errorf("%q: %q, want %q", typed, got, want)
		}
	}
	seen := map[rune]int{}
	for range 1000 {
		one := newCode(codeLength)
		if canonicalCode(printed(one)) != one {
			t.Fatalf("%q is not read as it is printed", one)
		}
		for _, c := range one {
			seen[c]++
		}
	}
	for _, c := range alphabet {
		if seen[c] < 600 || seen[c] > 970 { // 781 expected, more than six deviations
			t.Errorf("%c stands %d times among 25,000", c, seen[c])
		}
	}
}

func FuzzCanonicalCode(f *testing.F) {
	f.Add("01234-56789-ABCDE-FGHJK-MNPQR")
	f.Fuzz(func(t *testing.T, typed string) {
		code := canonicalCode(typed)
		if code != "" && (len(code) != codeLength || canonicalCode(code) != code || strings.Trim(code, alphabet) != "") {
			t.Errorf("%q became %q", typed, code)
		}
		if why := purposeOf(typed); len(why) > maxPurpose || strings.ContainsFunc(why, unicode.IsControl) || purposeOf(why) != why {
			t.Errorf("%q became %q", typed, why)
		}
	})
}

// The store holds neither codes nor names; records cannot change places; codes of keys that are lost open nothing.
func TestStoreHoldsNoCode(t *testing.T) {
	ctx, st := t.Context(), store.NewMemory()
	defer st.Close()
	ring := func() *keyring.Ring { r, _ := keyring.New(keyring.Generate()); return r }
	s := Seals{Store: st, Keys: ring()}
	made, _, err := s.Make(ctx, 2, []string{"admin"}, "olga", false)
	if err != nil {
		t.Fatal(err)
	}
	var items []store.Item
	for item, err := range st.Scan(ctx, sealBucket, "") {
		if err != nil {
			t.Fatal(err)
		}
		items = append(items, item)
		for _, one := range made {
			if text := item.Key.ID + string(item.Value); strings.Contains(text, canonicalCode(one.Code)) || strings.Contains(text, one.Name) {
				t.Error("readable in the store")
			}
		}
	}
	if _, err := st.Put(ctx, store.Key{Bucket: linkBucket, ID: items[0].Key.ID}, items[0].Value, store.PutOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.take(ctx, store.Key{Bucket: linkBucket, ID: items[0].Key.ID}); err != ErrSeal {
		t.Errorf("a code's record serves as a link's: %v", err)
	}
	if _, _, err := s.Make(ctx, MaxSeals-1, nil, "", true); err == nil {
		t.Error("more codes than there may be")
	}
	lost := Seals{Store: st, Keys: ring()}
	if _, err := lost.Break(ctx, made[0].Code); err != ErrSeal {
		t.Errorf("under other keys: %v", err)
	}
	if one, err := s.Break(ctx, made[1].Code); err != nil || one.Name != made[1].Name || one.Roles[0] != "admin" || one.By != "olga" {
		t.Errorf("%+v, %v", one, err)
	}
	_ = st.Close()
	if _, err := s.Break(ctx, made[1].Code); err == nil || err == ErrSeal {
		t.Errorf("a broken store: %v", err)
	}
}
