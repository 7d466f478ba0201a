package chain

import "time"

// clock compares the wall clock with the one that nobody can set.
type clock struct {
	run  string
	wall time.Time
	mono time.Duration
}

func (c *clock) look(v *verifier, seq int64, h head) {
	wall, err := time.Parse(timeForm, string(h.time))
	if err != nil {
		v.find(seq, "it has no time")
		return
	}
	mono := time.Duration(h.mono)
	if v.From.IsZero() {
		v.From = wall
	}
	v.To = wall
	if !c.wall.IsZero() {
		back := c.wall.Sub(wall)
		jump := wall.Sub(c.wall) - (mono - c.mono)
		switch {
		case back > tolerance:
			v.find(seq, "the wall clock went back by %s", back.Round(time.Millisecond))
		case string(h.run) == c.run && jump.Abs() > tolerance:
			v.find(seq, "the wall clock was set by %s", jump.Round(time.Millisecond))
		}
	}
	c.wall, c.mono = wall, mono
	if string(h.run) != c.run {
		c.run = string(h.run)
	}
}
