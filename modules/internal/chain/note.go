package chain

// SignNote signs a text as a signed note (C2SP). The text ends with a newline, and its first line must say what it is, so that nobody takes it
// for a note of another kind.
func SignNote(text string, by *Signer) (string, error) { return signNote(text, by) }

// OpenNote returns the text of a signed note that one of the public keys has signed.
func OpenNote(msg string, keys ...string) (string, error) {
	n, err := openNote(msg, keys...)
	if err != nil {
		return "", err
	}
	return n.Text, nil
}
