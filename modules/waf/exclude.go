package waf

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/corazawaf/coraza/v3/experimental/plugins"
	"github.com/corazawaf/coraza/v3/experimental/plugins/plugintypes"

	"gatehouse.internal/modules/internal/reqpath"
)

// Exclusion takes one rule, or the rules against one kind of attack, away from one target of a site's requests. It can
// not touch what adds up scores or guards the parsing: what is excluded is looked at less, and refused less, in that one
// place only.
type Exclusion struct {
	Rule   int             `json:"rule,omitempty"` // a detection rule's id; 0: Tag says which
	Tag    string          `json:"tag,omitempty"`  // attack-xss, attack-sqli, …
	Target string          `json:"target"`         // as the log's waf_matched names it: ARGS:text, REQUEST_COOKIES:prefs
	Path   reqpath.Pattern `json:"path,omitzero"`  // where; the zero pattern is everywhere
}

const (
	// exclusionRules is the first id of the rules that exclusions become: ours, so that no site's file has them.
	exclusionRules = 90800
	// maxExclusions bounds how many a site may write: each is a rule that every request pays for.
	maxExclusions = 200
)

// excludable are the collections that a client fills and that have parts to name. &X, and single variables such as
// REQUEST_BODY, are for a rule file, where a reviewer sees them.
var excludable = []string{
	"ARGS", "ARGS_NAMES", "ARGS_GET", "ARGS_GET_NAMES", "ARGS_POST", "ARGS_POST_NAMES", "REQUEST_COOKIES",
	"REQUEST_COOKIES_NAMES", "REQUEST_HEADERS", "FILES", "FILES_NAMES", "MULTIPART_PART_HEADERS", "XML",
}

// ParseExclusion reads what follows the word exclude: a rule id or tag, a target, and perhaps a path.
func ParseExclusion(words []string) (e Exclusion, err error) {
	if len(words) < 2 || len(words) > 3 {
		return e, errors.New("write `exclude <rule id or attack-… tag> <target> [<path>]`, such as `exclude 941100 ARGS:text /wiki/*`")
	}
	if e.Rule, err = strconv.Atoi(words[0]); err != nil {
		e.Rule, e.Tag = 0, words[0]
	}
	e.Target = words[1]
	if len(words) == 3 {
		if e.Path, err = reqpath.ParsePattern(words[2]); err != nil {
			return e, err
		}
	}
	return e, e.check()
}

// check refuses what would take away more than one detection in one place.
func (e Exclusion) check() error {
	collection, key, keyed := strings.Cut(e.Target, ":")
	everywhere := e.Path == reqpath.Pattern{}
	switch {
	case !slices.Contains(excludable, collection):
		return fmt.Errorf("exclude: target %q: want one of %s, with :name", e.Target, strings.Join(excludable, ", "))
	case keyed && (key == "" || len(key) > maxTarget || collection != "XML" && strings.ContainsFunc(key, func(r rune) bool { return !plain(r) })):
		return fmt.Errorf("exclude: the name in %q: letters, digits, dot, - and _ only; write another as a rule file", e.Target)
	case collection == "XML" && key != "/*" && key != "//@*":
		return errors.New("exclude: of XML there are XML:/* (texts) and XML://@* (attributes)")
	case !keyed && everywhere:
		return fmt.Errorf("exclude: all of %s on every path: name a part (%[1]s:name) or a path", e.Target)
	case strings.Contains(e.Path.String(), `"`):
		return fmt.Errorf("exclude: path %q holds a quote; write it as a rule file", e.Path)
	case e.Tag != "":
		return e.checkTag()
	}
	return checkExcludedRule(e.Rule)
}

// checkTag accepts tags that name a kind of attack. Others (OWASP_CRS, paranoia-level/1, …) are on rules of every kind.
func (e Exclusion) checkTag() error {
	if !strings.HasPrefix(e.Tag, "attack-") || !slices.Contains(attackTags(), e.Tag) {
		return fmt.Errorf("exclude: %q is neither a rule id nor one of the tags %s", e.Tag, strings.Join(attackTags(), ", "))
	}
	return nil
}

// checkExcludedRule accepts the ids of detection rules: operators', ours and CRS's that exist.
func checkExcludedRule(id int) error {
	_, known := Catalogue()[id]
	switch {
	case counts(id) || denies(id) || id >= 90_000 && id < 90_300 || id >= 200_000 && id < 201_000:
		return fmt.Errorf("exclude: rule %d adds up scores or guards the parsing; it can not be excluded", id)
	case id < 1 || id >= 90_000 && !known:
		return fmt.Errorf("exclude: there is no rule %d", id)
	}
	return nil
}

// checkExclusions is Exclusion.check for all of a configuration.
func checkExclusions(all []Exclusion) error {
	if len(all) > maxExclusions {
		return fmt.Errorf("%d exclusions: at most %d", len(all), maxExclusions)
	}
	for _, e := range all {
		if err := e.check(); err != nil {
			return err
		}
	}
	return nil
}

// exclusionDirectives is what the exclusions are to Coraza: rules of phase 1, before CRS's.
func exclusionDirectives(all []Exclusion) string {
	var b strings.Builder
	for n, e := range all {
		if (e.Path == reqpath.Pattern{}) {
			b.WriteString("SecAction ")
		} else {
			fmt.Fprintf(&b, `SecRule REQUEST_URI_RAW "@gatehousePath %s" `, e.Path)
		}
		what := fmt.Sprintf("ruleRemoveTargetById=%d", e.Rule)
		if e.Tag != "" {
			what = "ruleRemoveTargetByTag=" + e.Tag
		}
		fmt.Fprintf(&b, "\"id:%d,phase:1,pass,nolog,noauditlog,t:none,ctl:%s;%s\"\n", exclusionRules+n, what, e.Target)
	}
	return b.String()
}

func init() {
	plugins.RegisterOperator("gatehousePath", func(o plugintypes.OperatorOptions) (plugintypes.Operator, error) {
		p, err := reqpath.ParsePattern(o.Arguments)
		return within{p}, err
	})
}

// within is the operator @gatehousePath: the value, a request-target, has a path that every server takes to be in the
// pattern. Exclusions open, so that whatever could be read otherwise is not in it (decisions/0004).
type within struct{ pattern reqpath.Pattern }

// Evaluate implements plugintypes.Operator.
func (w within) Evaluate(_ plugintypes.TransactionState, target string) bool {
	path, _, _ := strings.Cut(target, "?")
	// admit has refused what the site does not allow; what is left of that is read with its full meaning.
	p, err := reqpath.Parse(path, reqpath.Options{AllowEncodedSlash: true, AllowEmptySegments: true})
	return err == nil && w.pattern.MatchAll(p)
}
