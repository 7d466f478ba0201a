package waf

import (
	"regexp"
	"strconv"
	"strings"

	"github.com/corazawaf/coraza/v3/collection"
	"github.com/corazawaf/coraza/v3/experimental/plugins"
	"github.com/corazawaf/coraza/v3/experimental/plugins/plugintypes"
	"github.com/corazawaf/coraza/v3/types"
)

// Coraza 3.8.1 keeps transformed values under the *address* of the name they came with, their position among what a
// rule was handed, and the variable. Values of one repeated name share one address, and positions change from rule to
// rule, because collections are Go maps and because exclusions close gaps. A rule can so be handed the lower-cased
// form of another value than the one it asks about, and miss an attack: the same request passes or not by chance.
//
// The mend: before any other rule of a phase, every name that stands for more than one value is put back under a
// string of its own for each, equal in content, different in address. decisions/0007 says what else was considered.

// distinctRules come first in every engine, before any rule that could fill the cache. Sites cannot remove them
// (lint refuses their ids).
const distinctRules = `SecRule REQUEST_METHOD "@gatehouseDistinct request" "id:90050,phase:1,pass,nolog,noauditlog,t:none"
SecRule REQUEST_METHOD "@gatehouseDistinct request" "id:90051,phase:2,pass,nolog,noauditlog,t:none"
SecRule REQUEST_METHOD "@gatehouseDistinct response" "id:90052,phase:3,pass,nolog,noauditlog,t:none"
SecRule REQUEST_METHOD "@gatehouseDistinct response" "id:90053,phase:4,pass,nolog,noauditlog,t:none"`

// meddling finds what changes rules by their ids, in directives and in actions.
var meddling = regexp.MustCompile(`(?i)(?:\bSecRule(?:Remove|Update\w*?)ById[ \t"]+|\bctl:[ \t]*rule\w*ById=)([0-9][0-9 \t,-]*)`)

// removesMend returns the first part of text that would change one of distinctRules, or "".
func removesMend(text string) string {
	for _, m := range meddling.FindAllStringSubmatch(text, -1) {
		for _, ids := range strings.FieldsFunc(m[1], func(r rune) bool { return r == ' ' || r == '\t' || r == ',' }) {
			low, high, ranged := strings.Cut(ids, "-")
			first, _ := strconv.Atoi(low)
			last := first
			if ranged {
				last, _ = strconv.Atoi(high)
			}
			if first <= 90053 && last >= 90050 {
				return strings.TrimSpace(m[0])
			}
		}
	}
	return ""
}

func init() {
	plugins.RegisterOperator("gatehouseDistinct", func(o plugintypes.OperatorOptions) (plugintypes.Operator, error) {
		if o.Arguments == "response" {
			return distinct{responseCollections}, nil
		}
		return distinct{requestCollections}, nil
	})
}

// distinct is the operator. It never matches.
type distinct struct {
	collections func(plugintypes.TransactionVariables) []collection.Map
}

// Evaluate implements plugintypes.Operator.
func (d distinct) Evaluate(tx plugintypes.TransactionState, _ string) bool {
	for _, m := range d.collections(tx.Variables()) {
		rename(m)
	}
	return false
}

// requestCollections are all whose names a client chooses or repeats. ARGS, ARGS_NAMES and the other *_NAMES are views
// of these.
func requestCollections(v plugintypes.TransactionVariables) []collection.Map {
	return []collection.Map{
		v.ArgsGet(), v.ArgsPost(), v.ArgsPath(), v.RequestCookies(), v.RequestHeaders(),
		v.Files(), v.FilesNames(), v.FilesSizes(), v.RequestXML(),
		v.MultipartPartHeaders(), v.MultipartName(), v.MultipartFilename(),
		v.MultipartFilenameCharset(), v.MultipartFilenameLanguage(),
	}
}

func responseCollections(v plugintypes.TransactionVariables) []collection.Map {
	return []collection.Map{v.ResponseHeaders(), v.ResponseArgs(), v.ResponseXML()}
}

// sized is what tells, at no cost, that no name of a collection is repeated.
type sized interface {
	Len() int         // of names, as the collection folds them
	TotalValues() int // of values
}

// rename gives each value in m a name of its own, if any name is repeated or empty. The order of a name's values stays.
//
// Everything is taken out before anything is put back, so that it does not matter whether the collection folds case.
// All empty names of all collections share one address (none), and so do counts like &ARGS, which is why one is
// enough.
func rename(m collection.Map) {
	if s, ok := m.(sized); ok && s.Len() == s.TotalValues() && len(m.Get("")) == 0 { // Fast path
		return
	}
	all := m.FindAll()
	// What FindAll returns are copies of the pairs; removing does not reach them.
	for _, d := range all {
		m.Remove(d.Key())
	}
	for _, d := range all {
		m.Add(ownName(d), d.Value())
	}
}

// ownName returns a copy of the name with an address that nothing else has. strings.Clone will not do for the empty
// string; an empty slice of a byte that was allocated for it has that byte's address.
func ownName(d types.MatchData) string {
	if d.Key() == "" {
		return strings.Clone("-")[:0]
	}
	return strings.Clone(d.Key())
}
