package gatehouse

import (
	"errors"
	"net"
	"os/user"
	"strconv"
	"syscall"
)

// PeerName returns who is at the other end of a unix socket, as the kernel knows them.
func PeerName(c net.Conn) (string, error) {
	name, _, err := peer(c)
	return name, err
}

// peer is PeerName, with the user's number and the process that connected.
func peer(c net.Conn) (name, id string, err error) {
	u, ok := c.(interface {
		SyscallConn() (syscall.RawConn, error)
	})
	if !ok {
		return "", "", errors.New("not a unix socket")
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return "", "", err
	}
	var cred *syscall.Ucred
	var failed error
	if err := raw.Control(func(fd uintptr) {
		cred, failed = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	}); err != nil {
		return "", "", err
	}
	if failed != nil {
		return "", "", failed
	}
	if cred.Pid == 0 { // of a TCP connection the kernel knows nobody
		return "", "", errors.New("not a unix socket of this machine")
	}
	number := strconv.FormatUint(uint64(cred.Uid), 10)
	id = "uid " + number + " pid " + strconv.Itoa(int(cred.Pid))
	if who, err := user.LookupId(number); err == nil {
		return who.Username, id, nil
	}
	return "uid " + number, id, nil
}
