package main

import "syscall"

// childAttributes gives a child its own process group and ends it with the demo, however the demo ends.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
}
