//go:build race

package waf

// raced: the race detector makes the rules some ten times slower, so that limits on time mean nothing, and tests that
// repeat themselves do it less often.
const raced = true
