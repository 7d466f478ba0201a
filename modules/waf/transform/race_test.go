//go:build race

package transform

// raced: the race detector makes Coraza some ten times slower, so that tests that repeat themselves do it less often.
const raced = true
