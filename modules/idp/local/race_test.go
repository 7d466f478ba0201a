//go:build race

package local

// RaceEnabled says that everything takes ten times as long.
const RaceEnabled = true
