//go:build !race

package processors

const underRace = false
