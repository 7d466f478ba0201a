// Package seclang reads the rules that Coraza 3.8.1 is given, as data.
//
// It follows Coraza's own parser step by step, peculiarities included, because what it returns is believed: a rule that
// stands here with one target too few would let a request pass that Coraza refuses. Two things keep that from
// happening. What this package does not model is named in [Program.Unread] and never guessed. And [Program.Check]
// compares the result with what Coraza says that it compiled.
//
// Texts that Coraza refuses are errors as far as reading shows it; whether every operator, transformation or pattern
// exists is for Coraza to say. The package keeps no state and is free of Coraza.
package seclang

import "io/fs"

// Source is one text as Coraza is given it: either directives themselves or the name of a file of them.
type Source struct {
	Text string
	File string // slash-separated, in the file system given to Parse; may be a pattern with *
}

// Program is what the sources say. It is not changed once returned.
type Program struct {
	Rules    []*Rule     // in Coraza's order, markers among them; removals and updates are applied
	Settings []Directive // what is not about rules, in order
	Unread   []string    // what is about rules and not modelled, each with its place: nobody may rely on Rules
	added    []Observed  // every rule as it was first added, which is when Coraza's observer sees it
}

// Rule is one SecRule, SecAction or SecMarker, or a link of a chain.
type Rule struct {
	ID              int    // 0 for markers, and for links unless they name one
	Phase           int    // 1 to 5; 0 for markers and links
	Marker          string // the label of a SecMarker, otherwise empty
	Targets         []Target
	Op              Operator
	Transformations []string // lower case, in order, after every t:none
	MultiMatch      bool
	Capture         bool
	Log, Audit      bool     // what log, nolog, auditlog and noauditlog come to
	Message         string   // unexpanded; empty: none
	Tags            []string // in order
	Actions         []Action // what describes the rule first, then SecDefaultAction's, then its own, in Coraza's order
	Chain           *Rule    // the next link; nil: none
	Raw             string   // the directive on one line; of a chain's first rule, those of all links, a line each
	File            string   // as Coraza names it: _inline_ for a text, empty after an Include
	Line            int      // as Coraza counts: the directive's last line, counted over all sources
	At              string   // file:line within the file, for people
	Updated         bool     // a SecRuleUpdate… changed it: Raw is not all of it
}

// Target is one variable of a rule. A negated target takes its key away from the targets of the same variable that
// stand before it; on later ones it has no effect.
type Target struct {
	Variable string // upper case
	// Key is the selector: a name folded as Coraza folds it (lower case, but for positive targets of the ARGS family),
	// or a pattern without its slashes. Empty without Regex: everything. Coraza matches patterns against lower-cased
	// names, and lower-cases the pattern itself except in the ARGS family.
	Key     string
	Regex   bool
	Negated bool
	Count   bool // &VARIABLE: how many, as one value
}

// Operator is a rule's condition. The zero value is that of SecAction and SecMarker: always true.
type Operator struct {
	Name     string // lower case, without @
	Argument string // unexpanded
	Negated  bool
	Dir      string   // where …FromFile looks for its files
	Dataset  []string // the values of the dataset that Argument names, if there is one
}

// Action is one action of a rule, quotes removed.
type Action struct {
	Name  string // lower case
	Value string
}

// Directive is a setting.
type Directive struct {
	Name  string // lower case
	Value string
	File  string
	Line  int // within the file
}

// Has reports whether the rule has the action.
func (r *Rule) Has(name string) bool {
	_, ok := r.Value(name)
	return ok
}

// Value returns the value of the rule's last action of that name.
func (r *Rule) Value(name string) (value string, ok bool) {
	for i := len(r.Actions) - 1; i >= 0; i-- {
		if r.Actions[i].Name == name {
			return r.Actions[i].Value, true
		}
	}
	return "", false
}

// Links returns the rule and the rest of its chain, in order.
func (r *Rule) Links() (links []*Rule) {
	for ; r != nil; r = r.Chain {
		links = append(links, r)
	}
	return links
}

// Parse reads the sources in the order in which Coraza is given them. files needs only what fs.ReadFile asks for. An
// error means that Coraza would refuse the sources too.
func Parse(files fs.FS, sources []Source) (*Program, error) {
	r := &reader{files: files, program: &Program{}, datasets: map[string][]string{}}
	for _, s := range sources {
		var err error
		switch {
		case s.Text != "":
			err = r.text(s.Text)
		case s.File != "":
			err = r.file(s.File)
		}
		if err != nil {
			return nil, err
		}
	}
	r.finish()
	return r.program, nil
}
