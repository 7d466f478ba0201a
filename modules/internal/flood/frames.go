package flood

import "encoding/binary"

// frame is what is read of a frame.
type frame struct {
	kind, flags byte
	stream      uint32
	length      uint32 // of its payload, DATA's without padding
	code        uint32 // RST_STREAM's
}

// frames finds the frames in the bytes of one direction, however those are cut. The zero value begins with a frame.
type frames struct {
	frame                // the last one that was found
	skip  uint32         // bytes of the preface or of a payload until the next one
	head  [head + 4]byte // of the next one, with the length of its padding, or its error code
	got   int
}

// next reads on in p until a frame's head is complete and reports whether one is; rest is what follows.
func (r *frames) next(p []byte) (rest []byte, ok bool) {
	if uint32(len(p)) <= r.skip {
		r.skip -= uint32(len(p))
		return nil, false
	}
	p, r.skip = p[r.skip:], 0
	if r.got == 0 && len(p) >= len(r.head) { // Fast path
		return p[r.parse(p):], true
	}
	for len(p) > 0 { // Slow path: one byte after the other
		r.head[r.got], p = p[0], p[1:]
		if r.got++; r.got < head || r.got < head+extra(r.head[:]) {
			continue
		}
		r.got = 0
		r.parse(r.head[:])
		return p, true
	}
	return nil, false
}

// extra is how many bytes of the payload belong to the frame's head: how much of DATA is padding says the first, why a stream
// is reset say all four.
func extra(p []byte) int {
	switch length := binary.BigEndian.Uint32(p) >> 8; {
	case p[3] == data && p[4]&padded != 0 && length > 0:
		return 1
	case p[3] == rstStream && length == 4:
		return 4
	}
	return 0
}

// parse reads a frame's head, of which enough is there, and returns how many bytes it has.
func (r *frames) parse(p []byte) int {
	_ = p[head+3]
	r.kind, r.flags, r.length = p[3], p[4], binary.BigEndian.Uint32(p)>>8
	r.stream, r.skip = binary.BigEndian.Uint32(p[5:])&^(1<<31), r.length
	if r.kind != data && r.kind != rstStream {
		return head
	}
	n := extra(p)
	r.skip -= uint32(n)
	switch n {
	case 1:
		r.length -= min(r.length, 1+uint32(p[head]))
	case 4:
		r.code = binary.BigEndian.Uint32(p[head:])
	}
	return head + n
}
