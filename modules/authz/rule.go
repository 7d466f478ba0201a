package authz

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"gatehouse.internal/modules/internal/identity"
)

// Rule is one line of a policy: it applies to a request of which all its conditions hold. One that allows must say of
// whom; the zero Rule does not, and is refused.
type Rule struct {
	// The rule refuses what it applies to, whatever other rules allow. Otherwise it allows it.
	Deny bool `json:"deny,omitempty"`
	// All of these must hold.
	If []Condition `json:"if"`
	// Where the rule stands, for explanations and error messages: file:line.
	Source string `json:"source,omitempty"`
}

// Condition is one thing that may hold of a request. It holds if it does for one of its values.
type Condition struct {
	// What is looked at; see the words below.
	Word string `json:"word"`
	// The condition holds where it otherwise would not.
	Not bool `json:"not,omitempty"`
	// Which claim, of the word claim.
	Name string `json:"name,omitempty"`
	// What it is compared with.
	Values []string `json:"values,omitempty"`
}

// word says how a condition of this name is written and what it may hold.
type word struct {
	usage string
	least int  // values, the claim's name included
	most  int  // 0: any number
	who   bool // it speaks of who asks, so that a log-in may change it
	names bool // it says who may: what every rule that allows must do
	check func(*Condition) error
}

// words are all there is to say about a request.
var words = map[string]word{
	"role":            {usage: "role <role...>", least: 1, who: true, names: true},
	"family":          {usage: "family <family...>", least: 1, who: true, names: true},
	"group":           {usage: "group <group...>", least: 1, who: true, names: true},
	"user":            {usage: "user <provider:subject...>", least: 1, who: true, names: true, check: checkUsers},
	"service_account": {usage: "service_account <name...>", least: 1, who: true, names: true},
	"scope":           {usage: "scope <scope...>", least: 1, who: true, names: true},
	"claim":           {usage: "claim <name> <value...>", least: 2, who: true, names: true},
	"segment":         {usage: "segment <n> claim <name>", least: 3, most: 3, who: true, names: true, check: checkSegment},
	"authenticated":   {usage: "authenticated", most: -1, who: true, names: true},
	"guest":           {usage: "guest", most: -1, who: true, names: true},
	"anyone":          {usage: "anyone", most: -1, names: true, check: checkAnyone},
	"provider":        {usage: "provider <name...>", least: 1, who: true},
	"device":          {usage: "device known|unknown", least: 1, most: 1, who: true, check: checkDevice},
	"method":          {usage: "method <METHOD...>", least: 1, check: checkMethods},
	"network":         {usage: "network <address or CIDR...>", least: 1, check: checkNetworks},
	"host":            {usage: "host <name...>", least: 1, check: checkHosts},
	"time":            {usage: "time [<days>] <from>-<to> <zone>, such as `time mon-fri 08:00-18:00 Europe/Berlin`", least: 2, most: 3, check: checkTime},
	"cel":             {usage: "cel <expression>, in one piece: put it between backticks", least: 1, most: 1, who: true, names: true, check: checkCEL},
}

// maxValue bounds a value in bytes.
const maxValue = 4096

// Token is a piece of a rule's text. A quoted one is a value, whatever it says.
type Token struct {
	Text   string
	Quoted bool
}

// ParseRule reads what follows the word allow or deny:
//
//	[not] <word> <value...> [[not] <word> <value...>]...
//
// A piece that is one of the words begins a condition, unless it is quoted or is the first one after a word.
func ParseRule(deny bool, tokens []Token, source string) (Rule, error) {
	r := Rule{Deny: deny, Source: source}
	if err := r.parse(tokens); err != nil {
		return Rule{}, err
	}
	return r, r.validate()
}

// parse adds the conditions of a line.
func (r *Rule) parse(tokens []Token) error {
	for len(tokens) > 0 {
		c, rest, err := parseCondition(tokens)
		if err != nil {
			return err
		}
		r.add(c)
		tokens = rest
	}
	return nil
}

func parseCondition(tokens []Token) (c Condition, rest []Token, err error) {
	if tokens[0].Text == "not" && !tokens[0].Quoted {
		c.Not, tokens = true, tokens[1:]
	}
	if len(tokens) == 0 {
		return c, nil, errors.New("`not` stands alone: write a condition after it, such as `not network 10.0.0.0/8`")
	}
	w, known := words[tokens[0].Text]
	if !known || tokens[0].Quoted {
		return c, nil, noCondition(tokens[0].Text)
	}
	c.Word, tokens = tokens[0].Text, tokens[1:]
	for len(tokens) > 0 && w.most >= 0 && (w.most == 0 || len(c.Values) < w.most) {
		t := tokens[0]
		_, begins := words[t.Text]
		if (begins || t.Text == "not") && !t.Quoted && len(c.Values) >= max(w.least, 1) {
			break
		}
		c.Values, tokens = append(c.Values, t.Text), tokens[1:]
	}
	if c.Word == "claim" && len(c.Values) > 0 {
		c.Name, c.Values = c.Values[0], c.Values[1:]
	}
	return c, tokens, c.validate()
}

// add puts the condition to the others; values of a word that stands there already are further alternatives.
func (r *Rule) add(c Condition) {
	for i := range r.If {
		if o := &r.If[i]; o.Word == c.Word && o.Not == c.Not && o.Name == c.Name && words[c.Word].most == 0 {
			o.Values = append(o.Values, c.Values...)
			return
		}
	}
	r.If = append(r.If, c)
}

// validate reports what is wrong with the rule.
func (r Rule) validate() error {
	verb := "allow"
	if r.Deny {
		verb = "deny"
	}
	if len(r.If) == 0 {
		return fmt.Errorf("%s: write `%s role <role...>`, `%s user <provider:subject...>`, `%s authenticated` or another condition", verb, verb, verb, verb)
	}
	for _, c := range r.If {
		if err := c.validate(); err != nil {
			return fmt.Errorf("%s: %w", verb, err)
		}
	}
	if !r.Deny && !r.names() {
		return fmt.Errorf("`%s` does not say who: add `role <role...>`, `authenticated`, or `anyone` for people who are not logged in too", r)
	}
	if !r.Deny && r.anyone() && slices.ContainsFunc(r.If, func(c Condition) bool { return words[c.Word].who && c.Word != "cel" }) {
		return fmt.Errorf("`%s` says `anyone` and somebody: take one out", r)
	}
	return nil
}

// names reports whether the rule says who.
func (r Rule) names() bool {
	return slices.ContainsFunc(r.If, func(c Condition) bool { return words[c.Word].names && !c.Not })
}

// who reports whether the rule depends on who asks.
func (r Rule) who() bool {
	return slices.ContainsFunc(r.If, func(c Condition) bool { return words[c.Word].who })
}

func (r Rule) anyone() bool {
	return slices.ContainsFunc(r.If, func(c Condition) bool { return c.Word == "anyone" })
}

// narrow reports whether the rule lets in only whom it names, rather than everybody who is logged in.
func (r Rule) narrow() bool {
	return slices.ContainsFunc(r.If, func(c Condition) bool {
		return words[c.Word].names && !c.Not && c.Word != "authenticated" && c.Word != "anyone"
	})
}

// String returns the rule as it is written.
func (r Rule) String() string {
	var b strings.Builder
	b.WriteString("allow")
	if r.Deny {
		b.Reset()
		b.WriteString("deny")
	}
	for _, c := range r.If {
		b.WriteByte(' ')
		b.WriteString(c.String())
	}
	return b.String()
}

// String returns the condition as it is written.
func (c Condition) String() string {
	parts := make([]string, 0, 3+len(c.Values))
	if c.Not {
		parts = append(parts, "not")
	}
	parts = append(parts, c.Word)
	if c.Name != "" {
		parts = append(parts, quoted(c.Name))
	}
	for _, v := range c.Values {
		parts = append(parts, quoted(v))
	}
	return strings.Join(parts, " ")
}

func quoted(s string) string {
	if s == "" || strings.ContainsAny(s, " \t\"`") {
		return "`" + strings.ReplaceAll(s, "`", "'") + "`"
	}
	return s
}

func (c *Condition) validate() error {
	w, known := words[c.Word]
	if !known {
		return noCondition(c.Word)
	}
	n := len(c.Values)
	if c.Word == "claim" && c.Name != "" {
		n++
	}
	if n < w.least || w.most > 0 && n > w.most || w.most < 0 && n > 0 || c.Name != "" && c.Word != "claim" {
		return fmt.Errorf("write `%s`", w.usage)
	}
	for _, v := range c.Values {
		if v == "" || len(v) > maxValue || strings.TrimSpace(v) != v && c.Word != "cel" {
			return fmt.Errorf("%s: a value is %q", c.Word, v)
		}
	}
	if w.check != nil {
		return w.check(c)
	}
	return nil
}

func wordNames() []string {
	names := make([]string, 0, len(words))
	for name := range words {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func checkUsers(c *Condition) error {
	for _, user := range c.Values {
		if provider, subject, ok := strings.Cut(user, ":"); !ok || provider == "" || subject == "" {
			return fmt.Errorf("user %q: write provider:subject, such as local:ada", user)
		}
	}
	return nil
}

func checkAnyone(c *Condition) error {
	if c.Not {
		return errors.New("`not anyone` is nobody: write `authenticated`")
	}
	return nil
}

func checkDevice(c *Condition) error {
	if c.Values[0] != identity.DeviceKnown && c.Values[0] != identity.DeviceUnknown {
		return errors.New("device: write `device known` or `device unknown`")
	}
	return nil
}

func checkMethods(c *Condition) error {
	for _, m := range c.Values {
		if m != strings.ToUpper(m) || strings.ContainsFunc(m, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
			return fmt.Errorf("method %q: write methods in capitals, such as `method GET HEAD`", m)
		}
	}
	return nil
}

func checkNetworks(c *Condition) error {
	_, err := networkSet(c.Values)
	return err
}

func checkTime(c *Condition) error {
	_, err := parseWindow(c.Values)
	return err
}

func checkCEL(c *Condition) error {
	_, err := compileCEL(c.Values[0])
	return err
}

func checkSegment(c *Condition) error {
	_, err := parseSegment(c.Values)
	return err
}

// noCondition refuses a word. Whoever wants to name people by an address or its domain is told what names them.
func noCondition(word string) error {
	return fmt.Errorf("%q is no condition: the conditions are %s; people are named by user <provider:subject>", word, strings.Join(wordNames(), ", "))
}
