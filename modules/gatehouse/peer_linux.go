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
	u, ok := c.(interface {
		SyscallConn() (syscall.RawConn, error)
	})
	if !ok {
		return "", errors.New("not a unix socket")
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return "", err
	}
	var cred *syscall.Ucred
	var failed error
	if err := raw.Control(func(fd uintptr) {
		cred, failed = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	}); err != nil {
		return "", err
	}
	if failed != nil {
		return "", failed
	}
	id := strconv.FormatUint(uint64(cred.Uid), 10)
	if who, err := user.LookupId(id); err == nil {
		return who.Username, nil
	}
	return "uid " + id, nil
}
