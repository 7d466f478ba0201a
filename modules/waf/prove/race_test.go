//go:build race

package prove

// raced: the race detector makes the judges some ten times slower, so that tests that repeat themselves do it less often.
const raced = true
