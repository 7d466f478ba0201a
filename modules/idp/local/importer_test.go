package local

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

// Hashes from elsewhere: PHP's manual, and the reference implementation of Argon2 (password, somesalt).
const (
	phpHash    = "$2y$07$BCryptRequires22Chrcte/VlQH0piJtjXl.0t1XkA8pw9dMXTpOq"
	phpWord    = "rasmuslerdorf"
	argonHash  = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc"
	weakerHash = "$apr1$zwtjR8WC$UDtpQj7wQYpVQvFWPV1gr0"
)

func TestParseImport(t *testing.T) {
	for name, tt := range map[string]struct {
		format, text string
		want         []Imported
	}{
		"htpasswd": {"htpasswd", "# people\n\nAda:" + phpHash + "\r\nbob:" + argonHash + ":Bob, of sales\n",
			[]Imported{{Name: "ada", Hash: phpHash}, {Name: "bob", Hash: argonHash}}},
		"csv": {"csv", "\ufeffEmail,Name,roles,hash,display_name\nada@example.com,ada,staff  admin,,\"Lovelace, Ada\"\n,bob,," + phpHash + ",\n",
			[]Imported{{Name: "ada", Email: "ada@example.com", Roles: []string{"staff", "admin"}, Title: "Lovelace, Ada"}, {Name: "bob", Hash: phpHash, Roles: []string{}}}},
		"json": {"json", `[{"name":"ADA","hash":"` + argonHash + `","roles":["staff"],"display_name":"Ada\u0000 L.","email":""}]`,
			[]Imported{{Name: "ada", Hash: argonHash, Roles: []string{"staff"}, Title: "Ada L."}}},
	} {
		got, err := ParseImport(tt.format, []byte(tt.text))
		if err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

func TestParseImportRefuses(t *testing.T) {
	for name, tt := range map[string]struct{ format, text, says string }{
		"empty":            {"htpasswd", "", "no accounts"},
		"comments alone":   {"htpasswd", "# nobody\n", "no accounts"},
		"format":           {"ldif", "x", "the formats are"},
		"no colon":         {"htpasswd", "ada:\nbob\n", "line 2: write name:hash"},
		"md5":              {"htpasswd", "ada:" + weakerHash, "line 1 (ada): MD5 is no password hash"},
		"sha1":             {"htpasswd", "ada:{SHA}VBPuJHI7uixaa6LQGWx4s+5GKNE=", "SHA-1 is no password hash"},
		"crypt":            {"htpasswd", "ada:$6$salt$hash", "crypt(3)"},
		"a password":       {"htpasswd", "\n\nada:hunter2hunter2", "line 3 (ada): what is given is no hash"},
		"bcrypt too dear":  {"htpasswd", "ada:" + strings.Replace(phpHash, "$07$", "$31$", 1), "cost 4 to 14"},
		"bcrypt cut off":   {"htpasswd", "ada:" + phpHash[:59], "cost 4 to 14"},
		"bcrypt of a bug":  {"htpasswd", "ada:" + strings.Replace(phpHash, "$2y$", "$2x$", 1), "cost 4 to 14"},
		"argon2i":          {"htpasswd", "ada:" + strings.Replace(argonHash, "2id", "2i", 1), "only Argon2id"},
		"argon2 too large": {"htpasswd", "ada:" + strings.Replace(argonHash, "m=65536", "m=1048576", 1), "at most 256 MiB"},
		"name":             {"htpasswd", "a b:" + phpHash, "line 1: not a user name"},
		"twice":            {"htpasswd", "ada:\nbob:\nADA:\n", "line 3: ada is in line 1 too"},
		"all of them":      {"htpasswd", "a b:\nc d:\n", "line 1: not a user name: use 1 to 64 of a-z, 0-9 and . _ @ -\nline 2"},
		"csv without name": {"csv", "hash\nx\n", "no column name"},
		"csv column":       {"csv", "name,password\nada,x\n", `column 2 is called "password"`},
		"csv twice":        {"csv", "name,name\nada,ada\n", "each once"},
		"csv row":          {"csv", "name,hash\nada\n", "line 2"},
		"csv roles":        {"csv", "name,roles\nada,\"staff a,b\"\n", `line 2 (ada): role "a,b"`},
		"json":             {"json", `{"name":"ada"}`, "not what it should be"},
		"json member":      {"json", `[{"name":"ada","password":"x"}]`, `unknown field "password"`},
		"json behind":      {"json", `[{"name":"ada"}] x`, "something follows"},
		"json place":       {"json", `[{"name":"ada"},{"name":""}]`, "account 2: not a user name"},
		"roles":            {"json", fmt.Sprintf(`[{"name":"ada","roles":[%s"x"]}]`, strings.Repeat(`"r",`, 64)), "more than 64 roles"},
	} {
		got, err := ParseImport(tt.format, []byte(tt.text))
		if err == nil || !strings.Contains(err.Error(), tt.says) || len(got) > 0 && name == "" {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && (strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "zwtjR8WC")) {
			t.Errorf("%s: a hash is quoted: %v", name, err)
		}
	}
	if _, err := ParseImport("htpasswd", make([]byte, maxImport+1)); err == nil {
		t.Error("too large")
	}
	if _, err := ParseImport("csv", []byte("name\n"+strings.Repeat("a\n", maxImportUsers+1))); err == nil || !strings.Contains(err.Error(), "in parts") {
		t.Errorf("too many: %v", err)
	}
	many := strings.Repeat("a b:\n", 50)
	if _, err := ParseImport("htpasswd", []byte(many)); !strings.Contains(err.Error(), "and 40 more") {
		t.Errorf("many mistakes: %v", err)
	}
}

// What is imported can be judged, and is replaced when its owner logs in (CAL-04).
func TestImportedHashes(t *testing.T) {
	for hash, word := range map[string]string{phpHash: phpWord, argonHash: "password"} {
		s := newUsers(t)
		if err := s.Create(t.Context(), User{Name: "ada", Hash: hash}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Authenticate(t.Context(), "ada", word+"x"); err == nil {
			t.Error("a wrong password")
		}
		if u, _ := s.Get(t.Context(), "ada"); u.Hash != hash {
			t.Error("a wrong password changed the hash")
		}
		u, err := s.Authenticate(t.Context(), "ada", word)
		if err != nil || u.Change != TooWeak && word == "password" {
			t.Errorf("%v, %v", u.Change, err)
		}
		if u, _ := s.Get(t.Context(), "ada"); !strings.HasPrefix(u.Hash, "$argon2id$v=19$m=19456,t=2,p=1$") {
			t.Errorf("the hash is still %.20s", u.Hash)
		}
		if _, err := s.Authenticate(t.Context(), "ada", word); err != nil {
			t.Errorf("with the new hash: %v", err)
		}
	}
}

func FuzzParseImport(f *testing.F) {
	f.Add("htpasswd", "ada:"+phpHash+"\n#\nbob:x")
	f.Add("csv", "name,hash,roles,display_name,email\nada,"+argonHash+",a b,\"A\",e\n")
	f.Add("json", `[{"name":"ada","hash":"","roles":["a"],"display_name":"A","email":"e"}]`)
	f.Fuzz(func(t *testing.T, format, text string) {
		list, err := ParseImport(format, []byte(text))
		if err != nil {
			return
		}
		names := map[string]bool{}
		for _, u := range list {
			if name, ok := CanonicalName(u.Name); !ok || name != u.Name || names[name] {
				t.Errorf("name %q", u.Name)
			}
			names[u.Name] = true
			if u.Hash != "" && checkHash(u.Hash) != nil || checkRoles(u.Roles) != nil || len(u.Title) > maxTitle || strings.ContainsAny(u.Title+u.Email, "\r\n\x00") {
				t.Errorf("%+v", u)
			}
		}
		again, err := json.Marshal(list)
		if err != nil {
			t.Fatal(err)
		}
		if same, err := ParseImport("json", again); err != nil || len(same) != len(list) {
			t.Errorf("%q is not taken again: %v", again, err)
		}
	})
}
