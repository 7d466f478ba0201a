package evidence

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// reportFormat is what JSON reports say they are.
const reportFormat = "gatehouse-evidence/1"

// Report is what a run found.
type Report struct {
	Format   string         `json:"format"`
	Made     time.Time      `json:"made"`
	Host     string         `json:"host"`
	Version  string         `json:"version"`
	Origin   string         `json:"origin"`        // of the audit log that the run is on record in
	Config   string         `json:"config_sha256"` // of the running configuration
	Sites    []string       `json:"sites"`
	Claimed  []string       `json:"claimed,omitempty"` // the statements that must hold whole
	Insecure []string       `json:"insecure,omitempty"`
	Summary  map[Status]int `json:"summary"`
	Controls []Finding      `json:"controls"`
	Probes   []Probed       `json:"probes"`
}

// Finding is what became of a control.
type Finding struct {
	Control
	Status  Status  `json:"status"` // never Absent
	Saw     string  `json:"saw"`
	Fix     string  `json:"fix,omitempty"`
	Config  Setting `json:"configured"`
	Records []Told  `json:"on_record,omitempty"`
}

// Told says how often the audit log tells of a kind of event.
type Told struct {
	Kind string `json:"kind"`
	Count
}

// Probed is what a probe saw.
type Probed struct {
	Name  string `json:"name"`
	About string `json:"about"`
	Result
}

// severity orders statuses: of several, the first counts.
var severity = []Status{Fail, Absent, Declared, Pass, NotApplicable}

// worst is the result that counts of several; what was seen is that of all of its status. There must be one.
func worst(all []Result) Result {
	var of Result
	for _, status := range severity {
		var saw []string
		for _, r := range all {
			if r.Status != status {
				continue
			}
			saw = append(saw, r.Saw)
			if of.Fix == "" {
				of.Fix = r.Fix
			}
		}
		if len(saw) > 0 {
			of.Status, of.Saw = status, strings.Join(slices.Compact(saw), "; ")
			break
		}
	}
	return of
}

// Do probes everything that the catalogue asks for, and judges the controls.
func (r *Run) Do(ctx context.Context) (*Report, error) {
	controls, err := Catalogue()
	if err != nil {
		return nil, err
	}
	report := &Report{
		Format: reportFormat, Made: time.Now().UTC().Truncate(time.Second), Host: r.Facts.Host, Version: r.Facts.Version, Origin: r.Facts.Origin,
		Config: r.Config.SHA256, Claimed: r.Claimed, Insecure: r.Config.Insecure, Summary: map[Status]int{},
	}
	for i := range r.Config.Sites {
		s := &r.Config.Sites[i]
		dial, host := r.address(s)
		report.Sites = append(report.Sites, fmt.Sprintf("%s (https://%s at %s)", s.Name, host, dial))
	}
	settings := map[string]Setting{}
	needed := map[string]bool{}
	for _, c := range controls {
		settings[c.Setting] = predicates[c.Setting](r.Config)
		for _, name := range c.Probes {
			needed[name] = needed[name] || settings[c.Setting].Answer == Yes
		}
	}
	results := map[string]Result{}
	for _, name := range slices.Sorted(maps.Keys(needed)) {
		if !needed[name] {
			continue
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		results[name] = r.probe(ctx, name)
		report.Probes = append(report.Probes, Probed{name, probes[name].about, results[name]})
	}
	for _, c := range controls {
		f := r.judge(c, settings[c.Setting], results)
		report.Controls = append(report.Controls, f)
		report.Summary[f.Status]++
	}
	return report, nil
}

// probe runs one probe: of each site, or of the house.
func (r *Run) probe(ctx context.Context, name string) Result {
	begun := time.Now()
	p := probes[name]
	var of Result
	if p.house != nil {
		of = p.house(ctx, r)
	} else {
		var all []Result
		for i := range r.Config.Sites {
			s := &r.Config.Sites[i]
			var one Result
			if dial, _ := r.address(s); s.Host() == "" || dial == "" {
				one = declared("it has no name or address that can be asked for")
			} else {
				one = p.site(ctx, r, s)
			}
			if len(r.Config.Sites) > 1 {
				one.Saw = s.Name + ": " + one.Saw
			}
			all = append(all, one)
		}
		of = worst(all)
	}
	of.Took = time.Since(begun).Round(time.Microsecond)
	return of
}

// judge says what becomes of a control.
func (r *Run) judge(c Control, set Setting, results map[string]Result) Finding {
	f := Finding{Control: c, Config: set}
	switch {
	case set.Answer == No:
		f.Status, f.Saw, f.Fix = Fail, set.Saw, set.Fix
	case set.Answer != Yes:
		f.Status, f.Saw, f.Fix = Absent, set.Saw, set.Fix
	case len(c.Probes) == 0:
		f.Status, f.Saw = Declared, set.Saw
	default:
		var all []Result
		for _, name := range c.Probes {
			all = append(all, results[name])
		}
		of := worst(all)
		f.Status, f.Saw, f.Fix = of.Status, of.Saw, of.Fix
	}
	if f.Status == Absent {
		f.Status = NotApplicable
		if slices.Contains(r.Claimed, c.Statement) {
			f.Status = Fail
		}
	}
	if f.Status != Fail {
		f.Fix = ""
	}
	if l := r.log(); l.err == nil {
		for _, kind := range c.Audit {
			f.Records = append(f.Records, Told{kind, l.kinds[kind]})
		}
	}
	return f
}

// Failures are the controls that fail.
func (r *Report) Failures() []Finding {
	return slices.DeleteFunc(slices.Clone(r.Controls), func(f Finding) bool { return f.Status != Fail })
}

// summary is how many controls came out how, in one line.
func (r *Report) summary() string {
	return fmt.Sprintf("%d pass, %d fail, %d declared, %d not applicable", r.Summary[Pass], r.Summary[Fail], r.Summary[Declared], r.Summary[NotApplicable])
}
