//go:build tools

// Package h2spec pins the tool that testenv/h2spec_test.go builds, in a module of its own: the product's go.mod need not
// know what only a tool needs.
package h2spec

import _ "github.com/summerwind/h2spec/cmd/h2spec"
