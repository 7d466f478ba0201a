package chain

import (
	"os"
	"path/filepath"
)

// HeadAttr is the attribute in which a record holds another chain's signed checkpoint.
const HeadAttr = "checkpoint"

// Head publishes a checkpoint, if that can be written, and returns the published one, signed: what others keep of this chain, so
// that it cannot be cut or removed unseen.
func (c *Chain) Head() ([]byte, error) {
	c.Publish()
	return os.ReadFile(filepath.Join(c.dir, checkpointFile))
}
