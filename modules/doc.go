// Package modules holds the house: README.md is its floor plan, arch_test.go keeps it.
package modules
