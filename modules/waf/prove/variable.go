package prove

import (
	"github.com/corazawaf/coraza/v3/types/variables"
)

// source is what values are read from: a collection of Coraza's, or the names in it.
//
// ARGS and the *_NAMES are views of a few collections; judging those once for all their views reads each only once.
type source struct {
	variable variables.RuleVariable
	names    bool
}

// views are the variables that show other collections' contents. Coraza builds them in NewTransactionVariables.
var views = map[variables.RuleVariable][]source{
	variables.Args:                 {{variables.ArgsGet, false}, {variables.ArgsPost, false}, {variables.ArgsPath, false}},
	variables.ArgsNames:            {{variables.ArgsGet, true}, {variables.ArgsPost, true}, {variables.ArgsPath, true}},
	variables.ArgsGetNames:         {{variables.ArgsGet, true}},
	variables.ArgsPostNames:        {{variables.ArgsPost, true}},
	variables.RequestCookiesNames:  {{variables.RequestCookies, true}},
	variables.RequestHeadersNames:  {{variables.RequestHeaders, true}},
	variables.ResponseHeadersNames: {{variables.ResponseHeaders, true}},
	variables.XML:                  {{variables.RequestXML, false}},
}

// volatile are the variables that rules themselves change or that change between two readings: what they hold when a
// rule looks is not what they hold when we do. TX is among them; condition.go and pool.go know what it can hold.
var volatile = map[variables.RuleVariable]bool{
	variables.Unknown: true, variables.TX: true, variables.Rule: true, variables.Env: true, variables.Geo: true,
	variables.HighestSeverity: true, variables.Duration: true,
	variables.MatchedVar: true, variables.MatchedVarName: true,
	variables.MatchedVars: true, variables.MatchedVarsNames: true,
}

// ofHead are the collections that are complete before phase 1 and that nothing changes afterwards: body processors only
// add to ARGS_POST, FILES and the like.
var ofHead = map[variables.RuleVariable]bool{
	variables.RequestURI: true, variables.RequestURIRaw: true, variables.RequestLine: true, variables.RequestMethod: true,
	variables.RequestProtocol: true, variables.RequestFilename: true, variables.RequestBasename: true,
	variables.QueryString: true, variables.ArgsGet: true, variables.RequestHeaders: true, variables.RequestCookies: true,
	variables.RemoteAddr: true, variables.RemotePort: true, variables.RemoteHost: true,
	variables.ServerAddr: true, variables.ServerPort: true, variables.ServerName: true, variables.UniqueID: true,
	variables.URIParseError: true,
}

// sensitive reports whether a collection keeps the case of its names. ARGS do if Coraza is built so (args_folded.go).
func sensitive(v variables.RuleVariable) bool {
	return argsKeepCase && (v == variables.ArgsGet || v == variables.ArgsPost || v == variables.ArgsPath)
}

// sourcesOf returns what a variable of that name shows; ok is false when its values at the time of the rule cannot be
// known.
func sourcesOf(name string) (v variables.RuleVariable, from []source, ok bool) {
	v, err := variables.Parse(name)
	if err != nil || volatile[v] {
		return v, nil, false
	}
	if from, ok = views[v]; ok {
		return v, from, true
	}
	return v, []source{{variable: v}}, true
}

// judgedIn is the phase in which a rule of the phase is asked about values of the source. What the head holds is final
// in phase 1, so rules of phase 2 are asked about it there, once. (Their chains wait for phase 2.)
func judgedIn(phase int, v variables.RuleVariable) int {
	if phase == 2 && ofHead[v] {
		return 1
	}
	return phase
}
