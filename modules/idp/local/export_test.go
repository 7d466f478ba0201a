package local

import "context"

// HashOf makes a hash of the default cost, as an account's.
func HashOf(password string) (string, error) {
	return NewHasher(1).Hash(context.Background(), standard, password)
}
