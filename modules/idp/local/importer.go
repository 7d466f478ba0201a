package local

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

// Bounds of a list of accounts to import.
const (
	maxImport      = 32 << 20 // bytes
	maxImportUsers = 100_000
	maxImportRoles = 64
	shownProblems  = 10
)

// Imported is an account from elsewhere. A Hash that is empty is no password: its owner needs a link to set one.
type Imported struct {
	Name  string   `json:"name"`
	Hash  string   `json:"hash"`
	Roles []string `json:"roles"`
	Title string   `json:"display_name"`
	Email string   `json:"email"`
}

// problems are what is wrong with a list, each with its place.
type problems []string

// Error names the first of them.
func (p problems) Error() string {
	shown := strings.Join(p[:min(len(p), shownProblems)], "\n")
	if len(p) > shownProblems {
		shown += fmt.Sprintf("\nand %d more", len(p)-shownProblems)
	}
	return shown
}

// ParseImport reads a list of accounts: htpasswd (name:hash), csv (with a header line of name, hash, roles, display_name,
// email, in any order; roles separated by spaces) or json (a list of objects with these members, roles being a list).
// Hashes are bcrypt ($2a$, $2b$, $2y$) or Argon2id ($argon2id$…). The error names every account that cannot be taken,
// by its place, and quotes no hash; then none is returned.
func ParseImport(format string, text []byte) ([]Imported, error) {
	if len(text) > maxImport {
		return nil, fmt.Errorf("the list is larger than %d MiB: import it in parts", maxImport>>20)
	}
	var list []Imported
	var at func(i int) string
	var err error
	switch format {
	case "htpasswd":
		list, at, err = parseHtpasswd(text)
	case "csv":
		list, at, err = parseCSV(text)
	case "json":
		at = func(i int) string { return fmt.Sprintf("account %d", i+1) }
		list, err = parseJSON(text)
	default:
		return nil, fmt.Errorf("format %q: the formats are htpasswd, csv and json", format)
	}
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, errors.New("the list has no accounts")
	}
	if len(list) > maxImportUsers {
		return nil, fmt.Errorf("the list has more than %d accounts: import it in parts", maxImportUsers)
	}
	return list, checkImport(list, at)
}

// checkImport makes every account canonical, or says what is wrong with which.
func checkImport(list []Imported, at func(i int) string) error {
	var wrong problems
	first := make(map[string]int, len(list))
	for i := range list {
		u := &list[i]
		name, ok := CanonicalName(u.Name)
		if !ok {
			wrong = append(wrong, fmt.Sprintf("%s: %v", at(i), ErrName))
			continue
		}
		u.Name, u.Title, u.Email = name, line(u.Title, maxTitle), line(u.Email, maxEmail)
		if before, twice := first[name]; twice {
			wrong = append(wrong, fmt.Sprintf("%s: %s is in %s too", at(i), name, at(before)))
		}
		first[name] = i
		if err := checkRoles(u.Roles); err != nil {
			wrong = append(wrong, fmt.Sprintf("%s (%s): %v", at(i), name, err))
		}
		if err := checkImportedHash(u.Hash); err != nil {
			wrong = append(wrong, fmt.Sprintf("%s (%s): %v", at(i), name, err))
		}
	}
	if wrong != nil {
		return wrong
	}
	return nil
}

// checkRoles takes role names as policies can name them.
func checkRoles(roles []string) error {
	if len(roles) > maxImportRoles {
		return fmt.Errorf("more than %d roles", maxImportRoles)
	}
	for _, role := range roles {
		if role == "" || len(role) > 64 || !utf8.ValidString(role) || strings.ContainsFunc(role, func(c rune) bool { return c <= ' ' || c == 0x7f || c == ',' }) {
			return fmt.Errorf("role %q: use 1 to 64 characters without spaces and commas", role)
		}
	}
	return nil
}

// checkImportedHash says what the hash is when it cannot be taken, without quoting it.
func checkImportedHash(hash string) error {
	if hash == "" {
		return nil
	}
	err := checkHash(hash)
	if err == nil {
		return nil
	}
	kind := "what is given is no hash of a known kind"
	switch {
	case isBcrypt(hash):
		kind = err.Error()
	case strings.HasPrefix(hash, "$argon2"):
		kind = "only Argon2id of version 19, with at most 256 MiB, can be taken"
	case strings.HasPrefix(hash, "$apr1$"), strings.HasPrefix(hash, "$1$"):
		kind = "MD5 is no password hash any more"
	case strings.HasPrefix(hash, "{SHA}"), strings.HasPrefix(hash, "{SSHA}"):
		kind = "SHA-1 is no password hash any more"
	case strings.HasPrefix(hash, "$5$"), strings.HasPrefix(hash, "$6$"), strings.HasPrefix(hash, "$y$"):
		kind = "hashes of crypt(3) cannot be taken"
	}
	return fmt.Errorf("%s: leave the hash out, and give the person a link (gatehouse user reset-password)", kind)
}

func parseHtpasswd(text []byte) (list []Imported, at func(i int) string, err error) {
	var lines []int
	n := 0
	for l := range bytes.Lines(text) {
		n++
		l = bytes.TrimRight(l, "\r\n")
		if len(bytes.TrimSpace(l)) == 0 || l[0] == '#' {
			continue
		}
		name, hash, found := strings.Cut(string(l), ":")
		if !found {
			return nil, nil, fmt.Errorf("line %d: write name:hash", n)
		}
		hash, _, _ = strings.Cut(hash, ":") // what follows is somebody's comment
		list, lines = append(list, Imported{Name: name, Hash: hash}), append(lines, n)
	}
	return list, func(i int) string { return fmt.Sprintf("line %d", lines[i]) }, nil
}

// csvColumns are the columns that a table may have.
var csvColumns = []string{"name", "hash", "roles", "display_name", "email"}

func parseCSV(text []byte) (list []Imported, at func(i int) string, err error) {
	table := csv.NewReader(bytes.NewReader(bytes.TrimPrefix(text, []byte("\ufeff"))))
	table.ReuseRecord = true
	head, err := table.Read()
	if err != nil {
		return nil, nil, fmt.Errorf("reading the header line: %w", err)
	}
	column := map[string]int{}
	for i, name := range head {
		name = strings.ToLower(strings.TrimSpace(name))
		if _, twice := column[name]; twice || !slices.Contains(csvColumns, name) {
			return nil, nil, fmt.Errorf("column %d is called %q: the columns are %s, each once", i+1, line(name, 40), strings.Join(csvColumns, ", "))
		}
		column[name] = i
	}
	if _, ok := column["name"]; !ok {
		return nil, nil, errors.New("there is no column name")
	}
	var lines []int
	for {
		row, err := table.Read()
		if errors.Is(err, io.EOF) {
			return list, func(i int) string { return fmt.Sprintf("line %d", lines[i]) }, nil
		}
		if err != nil {
			return nil, nil, err
		}
		field := func(name string) string {
			if i, ok := column[name]; ok {
				return strings.Clone(row[i])
			}
			return ""
		}
		l, _ := table.FieldPos(0)
		lines = append(lines, l)
		list = append(list, Imported{
			Name: field("name"), Hash: field("hash"), Roles: strings.Fields(field("roles")), Title: field("display_name"), Email: field("email"),
		})
		if len(list) > maxImportUsers {
			return list, func(int) string { return "" }, nil
		}
	}
}

func parseJSON(text []byte) (list []Imported, err error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&list); err != nil {
		return nil, fmt.Errorf("the list is not what it should be: %w", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the list")
	}
	return list, nil
}
