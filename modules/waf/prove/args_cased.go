//go:build coraza.rule.case_sensitive_args_keys

package prove

// argsKeepCase says how this build of Coraza keeps the names of arguments.
const argsKeepCase = true
