package testenv

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// process is a program that a test started; it is ended by its id, never by name.
type process struct {
	cmd    *exec.Cmd
	stdout string        // file
	stderr string        // file
	done   chan struct{} // closed when it has ended
	state  *os.ProcessState
}

// startProcess starts a program whose two outputs go to files, appended.
func startProcess(bin string, args, env []string, dir, stdout, stderr string) (*process, error) {
	p := &process{cmd: exec.Command(bin, args...), stdout: stdout, stderr: stderr, done: make(chan struct{})}
	p.cmd.Env, p.cmd.Dir = env, dir
	p.cmd.SysProcAttr = childAttributes()
	var files []*os.File
	defer func() {
		for _, f := range files {
			_ = f.Close()
		}
	}()
	for _, name := range []string{stdout, stderr} {
		f, err := os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			return nil, err
		}
		files = append(files, f)
	}
	p.cmd.Stdout, p.cmd.Stderr = files[0], files[1]
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		defer close(p.done)
		_ = p.cmd.Wait() // the state says how
		p.state = p.cmd.ProcessState
	}()
	return p, nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// stop sends a signal and waits; a process that stays is killed, and that is an error.
func (p *process) stop(sig syscall.Signal, patience time.Duration) error {
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-p.done:
		return nil
	case <-time.After(patience):
		_ = p.cmd.Process.Kill()
		<-p.done
		return fmt.Errorf("process %d did not end within %v of %v", p.pid(), patience, sig)
	}
}

// exitCode is -1 while the process runs and after a signal ended it.
func (p *process) exitCode() int {
	if !p.ended() {
		return -1
	}
	return p.state.ExitCode()
}

// until polls a condition; it returns an error when the condition does not come true in time.
func until(patience time.Duration, what string, condition func() bool) error {
	deadline := time.Now().Add(patience)
	for pause := time.Millisecond; ; pause = min(2*pause, 50*time.Millisecond) {
		if condition() {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("not within %v: %s", patience, what)
		}
		time.Sleep(pause)
	}
}

// eventually is until for tests.
func eventually(t testing.TB, patience time.Duration, what string, condition func() bool) {
	t.Helper()
	if err := until(patience, what, condition); err != nil {
		t.Fatal(err)
	}
}

// tail is the end of a file, for messages.
func tail(name string, lines int) string {
	content, err := os.ReadFile(name)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimRight(string(content), "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// ports hands out ports that were free for TCP and UDP a moment ago, none twice in a run.
var ports struct {
	mu   sync.Mutex
	used map[int]bool // guarded by mu
}
