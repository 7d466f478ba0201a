//go:build !linux

package waf

// swapDirs puts the directory staged in live's place and keeps live as backup.
func swapDirs(staged, live, backup string) error { return renameTwice(staged, live, backup) }
