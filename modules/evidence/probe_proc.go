package evidence

import (
	"bufio"
	"cmp"
	"context"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// The kernel of Linux tells of a process in /proc (proc(5)). Where there is none, or it may not be read, nothing is shown.

// tcpListen is how /proc/net/tcp calls the state of a socket that listens.
const tcpListen = "0A"

// socket is one of a process's: addresses as the kernel has them, and its state.
type socket struct {
	local, remote netip.AddrPort
	state         string
}

// sockets returns those of a process in the tables, such as tcp6.
func sockets(proc string, pid int, tables ...string) (all []socket, err error) {
	own := map[string]bool{}
	fds, err := filepath.Glob(filepath.Join(proc, strconv.Itoa(pid), "fd", "*"))
	if err != nil {
		return nil, err
	}
	for _, fd := range fds {
		if to, err := os.Readlink(fd); err == nil && strings.HasPrefix(to, "socket:[") {
			own[strings.TrimSuffix(strings.TrimPrefix(to, "socket:["), "]")] = true
		}
	}
	if len(own) == 0 {
		return nil, fmt.Errorf("the sockets of process %d cannot be read", pid)
	}
	for _, table := range tables {
		all = append(all, readSockets(filepath.Join(proc, strconv.Itoa(pid), "net", table), own)...)
	}
	return all, nil
}

// readSockets returns those of a table of the kernel's, by the inodes that are meant; nil: all. There is none for a kernel without IPv6.
func readSockets(table string, inodes map[string]bool) (all []socket) {
	f, err := os.Open(table)
	if err != nil {
		return nil
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) < 10 || inodes != nil && !inodes[fields[9]] {
			continue
		}
		local, errLocal := kernelAddress(fields[1])
		remote, errRemote := kernelAddress(fields[2])
		if errLocal == nil && errRemote == nil {
			all = append(all, socket{local, remote, fields[3]})
		}
	}
	return all
}

// kernelAddress reads an address as /proc/net/tcp has it: words of 32 bits in the machine's order, which is little-endian wherever
// Go's gateways run, and the port.
func kernelAddress(text string) (netip.AddrPort, error) {
	address, port, _ := strings.Cut(text, ":")
	b, err := hex.DecodeString(address)
	if err != nil || len(b)%4 != 0 {
		return netip.AddrPort{}, fmt.Errorf("no address of the kernel's: %q", text)
	}
	for i := 0; i < len(b); i += 4 {
		slices.Reverse(b[i : i+4])
	}
	ip, ok := netip.AddrFromSlice(b)
	n, err := strconv.ParseUint(port, 16, 16)
	if err != nil || !ok {
		return netip.AddrPort{}, fmt.Errorf("no address of the kernel's: %q", text)
	}
	return netip.AddrPortFrom(ip.Unmap(), uint16(n)), nil
}

// listening returns the TCP ports that a process listens on, sorted.
func listening(proc string, pid int) (ports []int, err error) {
	all, err := sockets(proc, pid, "tcp", "tcp6")
	if err != nil {
		return nil, err
	}
	for _, s := range all {
		if s.state == tcpListen {
			ports = append(ports, int(s.local.Port()))
		}
	}
	slices.Sort(ports)
	return slices.Compact(ports), nil
}

// probeEgress looks whom the process speaks to that has not come by itself. It sees what is open at that moment.
func probeEgress(_ context.Context, r *Run) Result {
	if mode := r.Config.mode(); mode != "" && mode != r.Facts.Mode {
		return failed("reload the configuration", "the mode in force is %q, and the configuration says %s", r.Facts.Mode, mode)
	}
	proc := cmp.Or(r.proc, "/proc")
	in, err := listening(proc, r.Facts.PID)
	if err != nil {
		return declared("%v from here", err)
	}
	all, _ := sockets(proc, r.Facts.PID, "tcp", "tcp6", "udp", "udp6") // they could be read just now
	var out []string
	for _, s := range all {
		ip := s.remote.Addr()
		if s.remote.Port() == 0 || slices.Contains(in, int(s.local.Port())) || ip.IsLoopback() || ip.IsPrivate() || ip.IsLinkLocalUnicast() || r.Config.declares(s.remote) {
			continue
		}
		out = append(out, s.remote.String())
	}
	if len(out) > 0 {
		return failed("find out what asks for it: providers, lists, collectors, ACME", "the process has connections to %s", strings.Join(out, ", "))
	}
	return passed("the process has no connection to a public address, but to declared applications, at this moment; its mode refused %d since it began", r.Facts.Denied)
}

// declares reports whether an application is at the address.
func (c *Config) declares(to netip.AddrPort) bool {
	return slices.ContainsFunc(c.Sites, func(s Site) bool { return slices.Contains(s.Upstreams, to.String()) })
}

// ports are those of listeners as the configuration writes them.
func ports(listens []string) (all []int) {
	for _, l := range listens {
		if _, rest, ok := strings.Cut(l, "/"); ok {
			l = rest
		}
		_, port, err := net.SplitHostPort(l)
		if err != nil {
			continue // a socket
		}
		from, to, ranged := strings.Cut(port, "-")
		first, err := strconv.Atoi(from)
		last := first
		if err == nil && ranged {
			last, err = strconv.Atoi(to)
		}
		for p := first; err == nil && p <= last && p <= 65535; p++ {
			all = append(all, p)
		}
	}
	return all
}

func probeListeners(_ context.Context, r *Run) Result {
	got, err := listening(cmp.Or(r.proc, "/proc"), r.Facts.PID)
	if err != nil {
		return declared("%v from here", err)
	}
	listens := r.Config.Listens
	if !r.Config.Admin.Disabled {
		admin, _, _ := strings.Cut(r.Config.Admin.Listen, "|")
		if admin == "" {
			admin = "localhost:2019"
		}
		listens = append(slices.Clone(listens), admin)
	}
	wanted := ports(listens)
	var more []string
	for _, p := range got {
		if !slices.Contains(wanted, p) {
			more = append(more, strconv.Itoa(p))
		}
	}
	if len(more) > 0 {
		return failed("find out what opened it: `ss -ltnp`", "the process listens on ports that the configuration does not name: %s", strings.Join(more, ", "))
	}
	return passed("the process listens on TCP ports %v, all of them configured", got)
}

// netBindService is the one capability that a gateway needs (capabilities(7)).
const netBindService = 1 << 10

func probeConfinement(_ context.Context, r *Run) Result {
	text, err := os.ReadFile(filepath.Join(cmp.Or(r.proc, "/proc"), strconv.Itoa(r.Facts.PID), "status"))
	if err != nil {
		return declared("the kernel does not tell from here: %v", err)
	}
	said := map[string]string{}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(line, ":")
		said[name] = strings.TrimSpace(value)
	}
	capabilities, err := strconv.ParseUint(said["CapEff"], 16, 64)
	if err != nil {
		return declared("the kernel does not tell of capabilities")
	}
	const fix = "run it under gatehouse.service, or as that unit confines it"
	switch {
	case said["NoNewPrivs"] != "1":
		return absent(fix, "the process may get new privileges")
	case capabilities&^netBindService != 0:
		return absent(fix, "the process has capabilities beyond NET_BIND_SERVICE (%s)", said["CapEff"])
	case said["Seccomp"] == "0":
		return absent(fix, "no system call is forbidden to the process")
	}
	return passed("no new privileges, no capability beyond NET_BIND_SERVICE, system calls filtered")
}
