// Package build says of what the running program was made.
//
// # What
//
// [Read] gives version, commit and the versions of what matters most; [SBOM] all modules that are linked, as a CycloneDX bill of
// materials (control NAT-23). Both come from what the Go linker wrote into the binary, so that they cannot tell of another one.
//
// # Invariants
//
// Nothing is made up: what the linker was not told is left out. Two calls return the same, and so do two binaries of one build.
package build
