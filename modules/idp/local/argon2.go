package local

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/crypto/argon2"
)

// standard are the parameters of new hashes unless a preset is chosen (control NAT-09).
var standard = presets[defaultPreset]

const defaultPreset = "owasp"

// presets are what an operator may choose new hashes to cost. The OWASP Password Storage Cheat Sheet holds its five
// choices to be equally strong, at different shares of memory and time; rfc9106 is the second choice of RFC 9106 section 4.
// Its first one, 2 GiB for each login, is not offered: one login would take what a small machine has.
var presets = map[string]params{
	"owasp":     {memory: 19 << 10, time: 2, threads: 1},
	"owasp_46m": {memory: 46 << 10, time: 1, threads: 1},
	"owasp_12m": {memory: 12 << 10, time: 3, threads: 1},
	"owasp_9m":  {memory: 9 << 10, time: 4, threads: 1},
	"owasp_7m":  {memory: 7 << 10, time: 5, threads: 1},
	"rfc9106":   {memory: 64 << 10, time: 3, threads: 4},
}

// Bounds of a hash that is worth parsing. Records are sealed, so this guards against our own mistakes.
const (
	saltBytes, minSalt, maxSalt = 16, 8, 64
	keyBytes, minKey, maxKey    = 32, 16, 64
	maxMemory                   = 256 << 10 // KiB
	maxTime, maxThreads         = 64, 64
	maxPHC                      = 300
)

var errPHC = errors.New("not an Argon2id hash")

// params are Argon2's cost: memory in KiB.
type params struct {
	memory, time uint32
	threads      uint8
}

// phc is an Argon2id hash in the PHC string format: $argon2id$v=19$m=19456,t=2,p=1$salt$hash.
type phc struct {
	params
	salt, key []byte
}

// String returns the one spelling of the hash that parsePHC takes.
func (h phc) String() string {
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, h.memory, h.time, h.threads,
		base64.RawStdEncoding.EncodeToString(h.salt), base64.RawStdEncoding.EncodeToString(h.key))
}

// parsePHC reads what String writes, and nothing else. The error never quotes it.
func parsePHC(s string) (phc, error) {
	var h phc
	part := strings.Split(s, "$")
	if len(s) > maxPHC || len(part) != 6 || part[0] != "" || part[1] != "argon2id" || part[2] != "v="+strconv.Itoa(argon2.Version) {
		return h, errPHC
	}
	cost := strings.Split(part[3], ",")
	if len(cost) != 3 {
		return h, errPHC
	}
	memory, ok1 := costOf(cost[0], "m=", maxMemory)
	time, ok2 := costOf(cost[1], "t=", maxTime)
	threads, ok3 := costOf(cost[2], "p=", maxThreads)
	salt, err1 := base64.RawStdEncoding.Strict().DecodeString(part[4])
	key, err2 := base64.RawStdEncoding.Strict().DecodeString(part[5])
	if !ok1 || !ok2 || !ok3 || err1 != nil || err2 != nil || memory < 8*threads ||
		len(salt) < minSalt || len(salt) > maxSalt || len(key) < minKey || len(key) > maxKey {
		return h, errPHC
	}
	h = phc{params{memory, time, uint8(threads)}, salt, key}
	if h.String() != s { // leading zeros, plus signs, line breaks in base64
		return phc{}, errPHC
	}
	return h, nil
}

func costOf(s, name string, most uint64) (uint32, bool) {
	digits, ok := strings.CutPrefix(s, name)
	n, err := strconv.ParseUint(digits, 10, 32)
	return uint32(n), ok && err == nil && n > 0 && n <= most
}
