package local

import (
	"crypto/rand"
	"encoding/base64"
	"slices"
	"strings"
	"time"

	"gatehouse.internal/modules/internal/keyring"
)

// A device is a browser in which people have logged in before: whoever guesses at their passwords from elsewhere, even
// from the same network, does not make them wait there (control NAT-10). Its cookie names it by random bits, and holds a
// mark for each of the last few people: a MAC over their name and those bits, so that nobody else can claim it and
// nobody can read from it who they are. It opens nothing.
const (
	deviceCookie   = "-device" // behind the gateway's own prefix
	devicePurpose  = "local.device"
	deviceLifetime = 180 * 24 * time.Hour
	deviceUsers    = 4
	deviceID       = 26 // characters of crypto/rand.Text
	deviceMark     = 43 // characters of a MAC in base64url
)

// device is the cookie's value, taken apart. The zero device is none.
type device struct {
	id    string
	marks []string // base64url, the latest first
}

// parseDevice reads what String writes; what is not of our making is no device.
func parseDevice(value string) device {
	parts := strings.Split(value, ".")
	if len(parts) > 1+deviceUsers || len(parts[0]) != deviceID {
		return device{}
	}
	for _, mark := range parts[1:] {
		if len(mark) != deviceMark {
			return device{}
		}
	}
	return device{parts[0], parts[1:]}
}

// String is the cookie's value.
func (d device) String() string { return strings.Join(append([]string{d.id}, d.marks...), ".") }

// knows reports whether the user has logged in here before.
func (d device) knows(keys *keyring.Ring, provider, name string) bool {
	if d.id == "" {
		return false
	}
	return slices.ContainsFunc(d.marks, func(mark string) bool {
		mac, err := base64.RawURLEncoding.DecodeString(mark)
		return err == nil && keys.CheckMAC(devicePurpose, d.message(provider, name), mac)
	})
}

// with returns the device after the user has logged in.
func (d device) with(keys *keyring.Ring, provider, name string) device {
	if d.id == "" {
		d.id = rand.Text()
	}
	mark := base64.RawURLEncoding.EncodeToString(keys.MAC(devicePurpose, d.message(provider, name)))
	marks := append([]string{mark}, slices.DeleteFunc(slices.Clone(d.marks), func(m string) bool { return m == mark })...)
	return device{d.id, marks[:min(len(marks), deviceUsers)]}
}

func (d device) message(provider, name string) []byte {
	return []byte(provider + "\x00" + name + "\x00" + d.id)
}
