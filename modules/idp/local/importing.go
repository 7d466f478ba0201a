package local

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"

	"gatehouse.internal/modules/internal/event"
	"gatehouse.internal/modules/internal/standing"
)

// Import makes accounts of a list that ParseImport has taken. With skip, those whose names are taken are left as they are;
// without, one such name is an error, and nothing is made.
type Import struct {
	Provider string
	List     []Imported
	Roles    []string // of everybody, besides their own
	Approve  bool
	Skip     bool
	Try      bool // make nothing
}

// ImportDone is what came of an import.
type ImportDone struct {
	Made    int `json:"made"`
	Skipped int `json:"skipped"`
	Without int `json:"without_password"` // of those made
}

// importers is how many accounts are written at one time, so that they share the store's commits.
const importers = 32

// Import makes the accounts.
func (a Accounts) Import(ctx context.Context, in Import) (ImportDone, error) {
	l, err := a.local(standing.Person{Provider: in.Provider})
	if err == nil {
		err = checkRoles(in.Roles)
	}
	if err != nil {
		return ImportDone{}, err
	}
	taken := map[string]bool{}
	users, err := l.Users.List(ctx)
	if err != nil {
		return ImportDone{}, err
	}
	for _, u := range users {
		taken[u.Name] = true
	}
	var done ImportDone
	var fresh []Imported
	var wrong problems
	for _, u := range in.List {
		switch {
		case !taken[u.Name]:
			fresh = append(fresh, u)
			if u.Hash == "" {
				done.Without++
			}
		case in.Skip:
			done.Skipped++
		default:
			wrong = append(wrong, u.Name+": "+ErrExists.Error())
		}
	}
	if wrong != nil {
		return ImportDone{}, fmt.Errorf("%w\nnothing was imported; to leave those as they are, say --skip-existing", wrong)
	}
	if !in.Try {
		err = a.makeAll(ctx, in, fresh)
	}
	done.Made = len(fresh)
	return done, err
}

func (a Accounts) makeAll(ctx context.Context, in Import, fresh []Imported) error {
	var mu sync.Mutex
	var failed error
	var wg sync.WaitGroup
	next := make(chan Imported)
	for range importers {
		wg.Go(func() {
			for u := range next {
				if err := a.makeOne(ctx, in, u); err != nil {
					mu.Lock()
					failed = cmp.Or(failed, fmt.Errorf("%s: %w; what was imported before stays: import again with --skip-existing", u.Name, err))
					mu.Unlock()
				}
			}
		})
	}
	for _, u := range fresh {
		mu.Lock()
		stop := failed != nil
		mu.Unlock()
		if stop {
			break
		}
		next <- u
	}
	close(next)
	wg.Wait()
	return failed
}

func (a Accounts) makeOne(ctx context.Context, in Import, u Imported) error {
	who := standing.Person{Provider: in.Provider, Subject: u.Name}
	roles := slices.Concat(in.Roles, u.Roles)
	slices.Sort(roles)
	user := User{Name: u.Name, Title: u.Title, Email: u.Email, Roles: slices.Compact(roles), Hash: u.Hash, Created: now()}
	if err := a.create(ctx, who, user, in.Approve); err != nil {
		return err
	}
	a.tell(event.UserImported, who, "")
	return nil
}
