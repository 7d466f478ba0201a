package local

import (
	"errors"
	"fmt"
	"mime"
	"net/http"
)

// parseForm returns the named fields of a posted form; one that is missing is empty. A field that is given twice is
// refused, since nobody can tell which of them was meant. The caller has bounded the body. Errors quote nothing of it.
func parseForm(r *http.Request, names ...string) (map[string]string, error) {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/x-www-form-urlencoded" {
		return nil, errors.New("not a form")
	}
	if err := r.ParseForm(); err != nil {
		if tooBig := (*http.MaxBytesError)(nil); errors.As(err, &tooBig) {
			return nil, err
		}
		return nil, errors.New("malformed form")
	}
	fields := make(map[string]string, len(names))
	for _, name := range names {
		switch values := r.PostForm[name]; len(values) {
		case 0:
		case 1:
			fields[name] = values[0]
		default:
			return nil, fmt.Errorf("field %s is given more than once", name)
		}
	}
	return fields, nil
}
