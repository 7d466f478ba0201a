// Package processors makes Coraza's own processors of forms and JSON cheaper to feed, keeps the one of multipart forms from
// writing files, and changes nothing else about them. For transactions that ask for it, JSON is read in one pass (json.go).
//
// They take a body with io.Copy, which makes a buffer of 32 KB for each request and throws it away: four fifths of all
// garbage of a small request. Handed a reader that writes itself, io.Copy makes none. What is read, what becomes of it and
// which errors it causes remain Coraza's code, so that its fixes reach us by updating it.
package processors

import (
	"fmt"
	"io"
	"sync"
	_ "unsafe" // for go:linkname

	"github.com/corazawaf/coraza/v3/experimental/plugins"
	"github.com/corazawaf/coraza/v3/experimental/plugins/plugintypes"
)

// stock is Coraza's look-up of a processor, which it keeps to itself. If an update moves it, the program does not link.
//
//go:linkname stock github.com/corazawaf/coraza/v3/internal/bodyprocessors.GetBodyProcessor
func stock(name string) (plugintypes.BodyProcessor, error)

// hasFiles says whether Coraza may write files: the files of multipart forms, into the system's temporary directory, where
// they would stay if the gateway was killed. Its build tag no_fs_access says no; we say so whatever the tags were.
//
//go:linkname hasFiles github.com/corazawaf/coraza/v3/internal/environment.HasAccessToFS
var hasFiles bool

// names are the processors that copy what they read.
var names = []string{"urlencoded", "json"}

// Register has all engines use the cheaper processors. It is called once, before engines are made, by an init function:
// Coraza's registry takes no lock.
func Register() error {
	hasFiles = false
	for _, name := range names {
		p, err := wrapped(name)
		if err != nil {
			return err
		}
		plugins.RegisterBodyProcessor(name, func() plugintypes.BodyProcessor { return p })
	}
	return nil
}

// wrapped returns Coraza's processor of that name with a reader that writes itself. Both have no state.
func wrapped(name string) (plugintypes.BodyProcessor, error) {
	p, err := stock(name)
	if err != nil {
		return nil, fmt.Errorf("what Coraza reads bodies with: %w", err)
	}
	if name == "json" {
		return jsonProcessor{processor{p}}, nil
	}
	return processor{p}, nil
}

type processor struct{ stock plugintypes.BodyProcessor }

// ProcessRequest implements plugintypes.BodyProcessor.
func (p processor) ProcessRequest(r io.Reader, v plugintypes.TransactionVariables, o plugintypes.BodyProcessorOptions) error {
	return p.stock.ProcessRequest(source{r}, v, o)
}

// ProcessResponse implements plugintypes.BodyProcessor.
func (p processor) ProcessResponse(r io.Reader, v plugintypes.TransactionVariables, o plugintypes.BodyProcessorOptions) error {
	return p.stock.ProcessResponse(source{r}, v, o)
}

// source is a reader that io.Copy need not bring a buffer for.
type source struct{ io.Reader }

// rooms are buffers to read into. They are given back as long as they are.
var rooms = sync.Pool{New: func() any { return new(make([]byte, 32<<10)) }}

// maxRoom is the longest buffer that is kept.
const maxRoom = 256 << 10

// WriteTo implements io.WriterTo. It writes once if all fits into maxRoom, so that a builder makes one string, and
// otherwise each time that so much is read. What was read before an error is written, as io.Copy does.
func (s source) WriteTo(w io.Writer) (written int64, err error) {
	room := rooms.Get().(*[]byte)
	defer rooms.Put(room)
	n := 0
	for err == nil {
		if n == len(*room) && n < maxRoom {
			longer := make([]byte, 2*n)
			copy(longer, *room)
			*room = longer
		}
		if n == len(*room) {
			if err = put(w, *room, &written); err != nil {
				return written, err
			}
			n = 0
		}
		var more int
		more, err = s.Read((*room)[n:])
		n += more
	}
	if e := put(w, (*room)[:n], &written); e != nil {
		return written, e
	}
	if err == io.EOF {
		err = nil
	}
	return written, err
}

// put writes all of data and counts it.
func put(w io.Writer, data []byte, written *int64) error {
	if len(data) == 0 {
		return nil
	}
	n, err := w.Write(data)
	*written += int64(n)
	if err == nil && n != len(data) {
		err = io.ErrShortWrite
	}
	return err
}
