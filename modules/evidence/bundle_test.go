package evidence

import (
	"context"
	"crypto/ed25519"
	"encoding/csv"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gatehouse.internal/modules/internal/chain"
)

// reportOf is a whole run against the stand-in.
func reportOf(t *testing.T, f fake) *Report {
	t.Helper()
	report, err := f.start(t).Do(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func (r *Report) find(t *testing.T, id string) Finding {
	t.Helper()
	for _, f := range r.Controls {
		if f.ID == id {
			return f
		}
	}
	t.Fatalf("%s is not in the report", id)
	return Finding{}
}

// Every control has a status and a reason; none passes that no probe saw.
func TestReport(t *testing.T) {
	r := reportOf(t, fake{})
	sum := 0
	for _, n := range r.Summary {
		sum += n
	}
	controls, _ := Catalogue()
	if len(r.Controls) != len(controls) || sum != len(controls) || r.Summary[Absent] != 0 || len(r.Failures()) > 0 {
		t.Errorf("%d controls, summary %v, failures %+v", len(r.Controls), r.Summary, r.Failures())
	}
	for _, f := range r.Controls {
		if f.Saw == "" || f.Status == Pass && len(f.Probes) == 0 {
			t.Errorf("%s: %s, %q", f.ID, f.Status, f.Saw)
		}
	}
	for id, want := range map[string]Status{"CER-01": Pass, "CER-04": NotApplicable, "CER-08": Declared, "NAT-12": Pass} {
		if f := r.find(t, id); f.Status != want {
			t.Errorf("%s: %s, want %s (%s)", id, f.Status, want, f.Saw)
		}
	}
	if f := r.find(t, "CER-05"); len(f.Records) == 0 || f.Records[0].Records != 1 {
		t.Errorf("what is on record of CER-05: %+v", f.Records)
	}
}

// What a configuration does not promise fails only where the statement is claimed; what it promises and breaks fails anyhow.
func TestClaims(t *testing.T) {
	claim := func(r *Run) { r.Claimed = []string{"cerebro"} }
	if f := reportOf(t, fake{run: claim}).find(t, "CER-04"); f.Status != Fail || f.Fix == "" {
		t.Errorf("claimed, and not configured: %+v", f)
	}
	if f := reportOf(t, fake{run: claim}).find(t, "CAL-09"); f.Status != NotApplicable || f.Fix != "" {
		t.Errorf("neither: %+v", f)
	}
	if f := reportOf(t, fake{run: func(r *Run) { r.Config.Redirects = true }}).find(t, "CER-02"); f.Status != Fail || f.Fix == "" {
		t.Errorf("a setting that breaks it: %+v", f)
	}
	weak := reportOf(t, fake{tls: old(0x0301)})
	if len(weak.Failures()) < 3 || weak.find(t, "CER-01").Status != Fail || weak.find(t, "CAL-01").Status != Fail {
		t.Errorf("a weak listener: %+v", weak.Failures())
	}
}

// Nothing in a report can become markup, a formula or another column.
func TestFormatsAreSafe(t *testing.T) {
	r := reportOf(t, fake{})
	const nasty = "=cmd|' /C calc'!A0 <script>alert(1)</script> | `x`\r\n@SUM"
	r.Controls[0].Saw, r.Controls[0].Status, r.Controls[0].Fix, r.Host = nasty, Fail, nasty, nasty
	out := map[string]string{}
	for name, f := range formats {
		var b strings.Builder
		if err := f.write(&b, r); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		out[name] = b.String()
	}
	rows, err := csv.NewReader(strings.NewReader(out["csv"])).ReadAll()
	if err != nil || len(rows) != len(r.Controls)+1 {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	for _, row := range rows {
		for _, cell := range row {
			if cell != "" && strings.ContainsAny(cell[:1], "=+-@\t\r") {
				t.Errorf("a spreadsheet takes %q for a formula", cell)
			}
		}
	}
	if strings.Contains(out["html"], "<script") || strings.Contains(out["markdown"], "<script") || strings.Contains(out["html"], "http-equiv=\"refresh") {
		t.Error("markup passes")
	}
	for _, line := range strings.Split(out["markdown"], "\n") {
		if strings.HasPrefix(line, "| CER-01") && strings.Count(strings.ReplaceAll(line, `\|`, ""), "|") != 7 {
			t.Errorf("columns: %s", line)
		}
	}
	var back Report
	if err := json.Unmarshal([]byte(out["json"]), &back); err != nil || back.Controls[0].Saw != nasty || back.Format != reportFormat {
		t.Errorf("JSON: %v", err)
	}
	if !strings.Contains(out["table"], "CER-01 FAILS") {
		t.Error("the table does not tell of what fails")
	}
}

// A bundle verifies as it was signed, and in no other way.
func TestBundle(t *testing.T) {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	by := chain.NewSigner("gw/audit/1/evidence", public, func(msg []byte) []byte { return ed25519.Sign(private, msg) })
	otherPublic, _, _ := ed25519.GenerateKey(nil)
	r := reportOf(t, fake{})
	make := func(t *testing.T) string {
		t.Helper()
		dir := filepath.Join(t.TempDir(), "bundle")
		files, err := writeBundle(dir, r)
		if err != nil {
			t.Fatal(err)
		}
		text, err := noteText("gw/audit/1", r.Made, r.summary(), files)
		if err != nil {
			t.Fatal(err)
		}
		note, err := chain.SignNote(text, by)
		if err != nil {
			t.Fatal(err)
		}
		write(filepath.Join(dir, noteFile), note)
		return dir
	}
	c, err := checkBundle(make(t), by.Verifier())
	if err != nil || c.Origin != "gw/audit/1" || !c.Made.Equal(r.Made) || c.Summary != r.summary() || len(c.Files) != 4 {
		t.Fatalf("%+v, %v", c, err)
	}
	for name, spoil := range map[string]func(dir string){
		"a changed page": func(dir string) { change(dir, "evidence.html", "not applicable", "pass") },
		"a changed note": func(dir string) { change(dir, noteFile, "0 fail", "1 fail") },
		"a file more":    func(dir string) { write(filepath.Join(dir, "evidence.pdf"), "x") },
		"a file less":    func(dir string) { must(os.Remove(filepath.Join(dir, "evidence.csv"))) },
		"no note":        func(dir string) { must(os.Remove(filepath.Join(dir, noteFile))) },
		"a note of another kind": func(dir string) {
			note, err := chain.SignNote("gw/audit/1\n3\nAAAA\n", by)
			must(err)
			write(filepath.Join(dir, noteFile), note)
		},
	} {
		dir := make(t)
		spoil(dir)
		if _, err := checkBundle(dir, by.Verifier()); err == nil {
			t.Errorf("%s verifies", name)
		}
	}
	if _, err := checkBundle(make(t), chain.NewSigner("gw/audit/1/evidence", otherPublic, nil).Verifier()); err == nil {
		t.Error("it verifies with another key")
	}
	good := []Hashed{{"evidence.csv", strings.Repeat("a", 64)}}
	for name, ask := range map[string]struct {
		summary string
		files   []Hashed
	}{
		"a summary of several lines":  {"1 pass, 0 fail, 0 declared, 0 not applicable\nsha256 x", good},
		"a name that leads elsewhere": {r.summary(), []Hashed{{"../evidence.csv", strings.Repeat("a", 64)}}},
		"a hash that is none":         {r.summary(), []Hashed{{"evidence.csv", "a\nb"}}},
		"no files":                    {r.summary(), nil},
	} {
		if _, err := noteText("gw/audit/1", time.Now(), ask.summary, ask.files); err == nil {
			t.Errorf("%s is signed", name)
		}
	}
}

func change(dir, name, from, to string) {
	text, err := os.ReadFile(filepath.Join(dir, name))
	must(err)
	if !strings.Contains(string(text), from) {
		panic(from + " is not in " + name)
	}
	write(filepath.Join(dir, name), strings.Replace(string(text), from, to, 1))
}
