package store_test

import (
	"os"
	"path/filepath"
	"testing"

	"gatehouse.internal/modules/internal/store"
	"gatehouse.internal/modules/internal/store/storetest"
)

func closing(t *testing.T, s store.Store, err error) store.Store {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close = %v", err)
		}
	})
	return s
}

func TestMemory(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Store { return closing(t, store.NewMemory(), nil) })
}

func TestEmbedded(t *testing.T) {
	open := func(t *testing.T, path string) store.Store {
		s, err := store.OpenEmbedded(path, store.EmbeddedOptions{})
		return closing(t, s, err)
	}
	storetest.Suite{
		Open: func(t *testing.T) store.Store { return open(t, filepath.Join(t.TempDir(), "state", "gatehouse.db")) },
		Restore: func(t *testing.T, snapshot []byte) store.Store {
			path := filepath.Join(t.TempDir(), "restored.db")
			if err := os.WriteFile(path, snapshot, 0o600); err != nil {
				t.Fatal(err)
			}
			return open(t, path)
		},
	}.Run(t)
}
