package local

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestCheckPassword(t *testing.T) {
	tests := []struct {
		name, password string
		want           error
	}{
		{"four words", "correct mouse battery staple", nil},
		{"twelve letters", "jvmwplqkrtzn", nil},
		{"spaces at the ends count", " jvmwplqkrt ", nil},
		{"twelve code points", "ÄÖÜäöüßéèêçñ", nil},
		{"twelve emoji", "🐎🔋📎🐁🎈🚲🎻🌵🧀⛵🍋🪁", nil},
		{"256 bytes", strings.Repeat("jvmwplqk", 31) + "rtznxycd", nil},
		{"eleven", "jvmwplqkrtz", ErrPasswordShort},
		{"eleven once composed", "jvmwplqkrta\u0308", ErrPasswordShort},
		{"empty", "", ErrPasswordShort},
		{"257 bytes", strings.Repeat("jvmwplqk", 31) + "rtznxycdv", ErrPasswordLong},
		{"line break", "jvmwplqkrtzn\n", ErrPasswordLong},
		{"null", "jvmwplq\x00krtzn", ErrPasswordLong},
		{"not UTF-8", "jvmwplqkrtzn\xff", ErrPasswordLong},
		{"most used", "123456789012", ErrPasswordWeak},
		{"keyboard", "1qaz2wsx3edc", ErrPasswordWeak},
		{"keyboard in capitals", "QWERTYUIOPASDF", ErrPasswordWeak},
		{"word with digits and signs", "Password2024!!", ErrPasswordWeak},
		{"word between digits", "2024welcome2024", ErrPasswordWeak},
		{"the comic", "correct horse battery staple", ErrPasswordWeak},
		{"one letter", "aaaaaaaaaaaa", ErrPasswordWeak},
		{"a repeated unit", "xyzxyzxyzxyz", ErrPasswordWeak},
		{"alphabet", "efghijklmnop", ErrPasswordWeak},
		{"backwards", "210987654321", ErrPasswordWeak},
		{"user name", "ada.lovelace", ErrPasswordWeak},
		{"user name with digits", "Ada.Lovelace2024", ErrPasswordWeak},
		{"last name over and over", "lovelacelovelace", ErrPasswordWeak},
		{"product", "gatehouse123", ErrPasswordWeak},
		{"user name in something long", "lovelace wrote of looms", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			canonical, err := canonicalPassword(tt.password)
			if err == nil {
				err = checkPassword(canonical, "ada.lovelace", 12)
			}
			if !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
	if err := checkPassword("jvmwplqkrtzn", "a", 14); !errors.Is(err, ErrPasswordShort) {
		t.Errorf("a longer minimum is not kept: %v", err)
	}
	if err := checkPassword("jvmwplqkrtz", "a", 1); !errors.Is(err, ErrPasswordShort) {
		t.Errorf("a shorter minimum than 12 is possible: %v", err)
	}
}

func TestSamePasswordFromEveryKeyboard(t *testing.T) {
	composed, _ := canonicalPassword("pässwörter sind wörter")
	decomposed, _ := canonicalPassword("pa\u0308sswo\u0308rter sind wo\u0308rter")
	if composed != decomposed {
		t.Errorf("%q and %q differ", composed, decomposed)
	}
}

func TestCommonListIsLowerCase(t *testing.T) {
	if len(common) < 300 {
		t.Errorf("only %d entries", len(common))
	}
	for word := range common {
		if word != strings.ToLower(word) || !utf8.ValidString(word) {
			t.Errorf("%q never matches", word)
		}
	}
}

func TestCanonicalName(t *testing.T) {
	for typed, want := range map[string]string{
		"ada": "ada", "Ada": "ada", " ada ": "ada", "ada.lovelace@example.com": "ada.lovelace@example.com", "0": "0", "a-b_c": "a-b_c",
		strings.Repeat("a", 64): strings.Repeat("a", 64),
		"":                      "", " ": "", strings.Repeat("a", 65): "", "-a": "", ".": "", "@a": "", "a b": "", "a\tb": "", "\tada": "", "ada\x00": "",
		"ädä": "", "\u212aate": "", "аdа": "", "a/b": "", "a:b": "", "a,b": "", "a\r\nb": "", "ａｄａ": "",
	} {
		if got, ok := CanonicalName(typed); got != want || ok != (want != "") {
			t.Errorf("%q: got %q, %v; want %q", typed, got, ok, want)
		}
	}
}

func FuzzCanonicalName(f *testing.F) {
	f.Add("Ada.Lovelace")
	f.Fuzz(func(t *testing.T, typed string) {
		name, ok := CanonicalName(typed)
		if !ok {
			return
		}
		if again, ok := CanonicalName(name); !ok || again != name {
			t.Errorf("%q becomes %q becomes %q", typed, name, again)
		}
		if strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789._@-") != "" {
			t.Errorf("%q became %q", typed, name)
		}
	})
}

func FuzzPassword(f *testing.F) {
	f.Add("pa\u0308ssword", "ada")
	f.Add("\xff", "")
	f.Fuzz(func(t *testing.T, typed, name string) {
		p, err := canonicalPassword(typed)
		if err != nil {
			return
		}
		if again, err := canonicalPassword(p); err != nil || again != p {
			t.Errorf("%q is not stable: %q, %v", typed, again, err)
		}
		if checkPassword(p, name, minPassword) == nil && (utf8.RuneCountInString(p) < minPassword || len(p) > maxPassword) {
			t.Errorf("accepted %q", p)
		}
	})
}
