package mfa

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pquerna/otp"
	lib "github.com/pquerna/otp/totp"

	"gatehouse.internal/modules/internal/identity"
	"gatehouse.internal/modules/internal/keyring"
	"gatehouse.internal/modules/internal/store"
)

// rfcSecret is that of the vectors of both RFCs: "12345678901234567890".
var rfcSecret = []byte("12345678901234567890")

// TestHOTPVectors: RFC 4226, appendix D.
func TestHOTPVectors(t *testing.T) {
	for counter, want := range []string{"755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583", "399871", "520489"} {
		if got := hotp(rfcSecret, int64(counter)); string(got[:]) != want {
			t.Errorf("counter %d: %s, want %s", counter, got, want)
		}
	}
}

// TestTOTPVectors: RFC 6238, appendix B, SHA-1; of its eight digits the last six.
func TestTOTPVectors(t *testing.T) {
	for unix, want := range map[int64]string{
		59: "94287082", 1111111109: "07081804", 1111111111: "14050471", 1234567890: "89005924", 2000000000: "69279037", 20000000000: "65353130",
	} {
		at := time.Unix(unix, 0)
		if got := hotp(rfcSecret, stepAt(at)); string(got[:]) != want[2:] {
			t.Errorf("%d: %s, want %s", unix, got, want[2:])
		}
		if step, ok := match(rfcSecret, want[2:], at); !ok || step != stepAt(at) {
			t.Errorf("%d: its code is of step %d, %v", unix, step, ok)
		}
	}
}

// Another library agrees about what it makes of the same secret, and about our otpauth addresses.
func TestTOTPAgainstAnotherLibrary(t *testing.T) {
	opts := lib.ValidateOpts{Period: 30, Skew: 0, Digits: otp.DigitsSix, Algorithm: otp.AlgorithmSHA1}
	for i := range 200 {
		secret, at := newSecret(), time.Unix(int64(i)*987654321, int64(i))
		ours := hotp(secret, stepAt(at))
		theirs, err := lib.GenerateCodeCustom(base32Text.EncodeToString(secret), at, opts)
		if err != nil || theirs != string(ours[:]) {
			t.Fatalf("at %v: %s, the library says %s, %v", at, ours, theirs, err)
		}
		if _, ok := match(secret, theirs, at); !ok {
			t.Fatalf("at %v: the library's code is refused", at)
		}
	}
	secret := newSecret()
	key, err := otp.NewKeyFromURL(otpauth("Zoë & Co: the + site", "ada@example.com", secret))
	if err != nil {
		t.Fatal(err)
	}
	if key.Type() != "totp" || key.Issuer() != "Zoë & Co: the + site" || key.Secret() != base32Text.EncodeToString(secret) ||
		key.Period() != 30 || key.Digits() != otp.DigitsSix || key.Algorithm() != otp.AlgorithmSHA1 || !strings.HasSuffix(key.AccountName(), "ada@example.com") {
		t.Errorf("the address is %s", key)
	}
}

func TestTOTPSteps(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	code := func(step int64) string {
		c := hotp(rfcSecret, step)
		return string(c[:])
	}
	at := stepAt(now)
	for _, tt := range []struct {
		name string
		used int64
		code string
		when time.Time
		want error
	}{
		{"now", 0, code(at), now, nil},
		{"the step before", 0, code(at - 1), now, nil},
		{"the step after", 0, code(at + 1), now, nil},
		{"two steps before", 0, code(at - 2), now, errCode},
		{"two steps after", 0, code(at + 2), now, errCode},
		{"used in this step", at, code(at), now, errUsed},
		{"before one that was used", at, code(at - 1), now, errUsed},
		{"after one that was used", at, code(at + 1), now, nil},
		{"used before the clock was set back", at, code(at), now.Add(-30 * time.Second), errUsed},
		{"used before the clock was set back for long", at, code(at - 100), now.Add(-3000 * time.Second), errUsed},
		{"nothing", 0, "", now, errCode},
		{"too short", 0, code(at)[:5], now, errCode},
		{"too long", 0, code(at) + "0", now, errCode},
		{"other digits", 0, "٠١٢٣٤٥", now, errCode},
		{"before the epoch", 0, code(0), time.Unix(-100, 0), errCode},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := &totp{Secret: rfcSecret, Step: tt.used}
			if err := f.use(tt.code, tt.when); !errors.Is(err, tt.want) || (err == nil) != (tt.want == nil) {
				t.Errorf("%v, want %v", err, tt.want)
			}
			if f.Step < tt.used {
				t.Errorf("the last step went back to %d", f.Step)
			}
		})
	}
}

func engine(t testing.TB) accounts {
	t.Helper()
	st := store.NewMemory()
	t.Cleanup(func() { _ = st.Close() })
	return accounts{store: st, keys: newRing(t)}
}

func newRing(t testing.TB) *keyring.Ring {
	t.Helper()
	ring, err := keyring.New(keyring.Generate())
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

var ada = identity.Identity{Provider: "local", Issuer: "urn:gatehouse:local", Subject: "ada"}

// enrolTOTP gives ada an application whose last code was long ago, and returns her backup codes.
func enrolTOTP(t testing.TB, s accounts) (codes []string) {
	t.Helper()
	err := s.update(t.Context(), ada, func(a *account) error {
		a.TOTP = &totp{Secret: rfcSecret}
		codes = a.complete()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return codes
}

// One code that sixteen requests bring at the same time lets one of them pass.
func TestOneCodePassesOnce(t *testing.T) {
	s := engine(t)
	codes := enrolTOTP(t, s)
	now := time.Now()
	code := hotp(rfcSecret, stepAt(now))
	for name, text := range map[string]string{"a code of the application": string(code[:]), "a backup code": codes[3]} {
		var mu sync.Mutex
		counts := map[string]int{}
		var wg sync.WaitGroup
		start := make(chan struct{})
		for range 16 {
			wg.Go(func() {
				<-start
				_, _, err := s.useCode(context.WithoutCancel(t.Context()), ada, text, now)
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil:
					counts["passed"]++
				case errors.Is(err, errUsed):
					counts["used"]++
				default:
					counts[err.Error()]++
				}
			})
		}
		close(start)
		wg.Wait()
		if counts["passed"] != 1 || counts["used"] != 15 {
			t.Errorf("%s: %v", name, counts)
		}
	}
}

func TestBackupCodes(t *testing.T) {
	s := engine(t)
	codes := enrolTOTP(t, s)
	if len(codes) != 10 {
		t.Fatalf("%d codes", len(codes))
	}
	seen := map[string]bool{}
	for i, code := range codes {
		if seen[code] || len(code) != 14 || strings.Trim(code, backupAlphabet+"-") != "" {
			t.Errorf("code %q", code)
		}
		seen[code] = true
		method, left, err := s.useCode(t.Context(), ada, " "+strings.ToUpper(code)+" ", time.Now())
		if err != nil || method != identity.BackupCode || left != 9-i {
			t.Errorf("code %d: %s, %d left, %v", i, method, left, err)
		}
		if _, _, err := s.useCode(t.Context(), ada, code, time.Now()); !errors.Is(err, errUsed) {
			t.Errorf("code %d twice: %v", i, err)
		}
	}
	// New ones kill the old ones.
	enrolTOTP(t, s)
	var fresh []string
	err := s.update(t.Context(), ada, func(a *account) error {
		fresh = a.renewCodes()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.useCode(t.Context(), ada, codes[0], time.Now()); !errors.Is(err, errCode) {
		t.Errorf("an old code: %v", err)
	}
	if _, _, err := s.useCode(t.Context(), ada, fresh[0], time.Now()); err != nil {
		t.Errorf("a new code: %v", err)
	}
}

func TestTyped(t *testing.T) {
	for text, want := range map[string][2]string{
		"123456": {"123456", ""}, " 123 456\t": {"123456", ""}, "12345": {}, "1234567": {}, "12345a": {}, "": {},
		"abcd-efgh-jkmn": {"", "abcdefghjkmn"}, "ABCD EFGH JKMN": {"", "abcdefghjkmn"}, "oOil-0011-abcd": {"", "00110011abcd"},
		"abcd-efgh-jkmu": {}, "abcd-efgh-jkm": {}, "１２３４５６": {}, strings.Repeat("1", 65): {},
	} {
		if code, spare := typed(text); code != want[0] || spare != want[1] {
			t.Errorf("%q: %q, %q", text, code, spare)
		}
	}
}

func FuzzTyped(f *testing.F) {
	f.Add("123 456")
	f.Add("abcd-efgh-jkmn")
	f.Fuzz(func(t *testing.T, text string) {
		code, spare := typed(text)
		if code != "" && (len(code) != 6 || strings.Trim(code, "0123456789") != "" || spare != "") ||
			spare != "" && (len(spare) != 12 || strings.Trim(spare, backupAlphabet) != "") {
			t.Errorf("%q: %q, %q", text, code, spare)
		}
	})
}

// What the store holds tells nobody's secret, and no name.
func TestStoreHoldsNothingReadable(t *testing.T) {
	s := engine(t)
	codes := enrolTOTP(t, s)
	n := 0
	for item, err := range s.store.Scan(t.Context(), accountBucket, "") {
		if err != nil {
			t.Fatal(err)
		}
		n++
		raw := item.Key.ID + string(item.Value)
		for _, secret := range []string{"ada", "12345678901234567890", base32Text.EncodeToString(rfcSecret), codes[0], strings.ReplaceAll(codes[0], "-", "")} {
			if strings.Contains(raw, secret) {
				t.Errorf("the record holds %q", secret)
			}
		}
		if a, err := s.open(item); err != nil || strings.Contains(string(a.Codes[0].Hash), strings.ReplaceAll(codes[0], "-", "")) {
			t.Errorf("the codes are not hashed: %v", err)
		}
	}
	if n != 1 {
		t.Errorf("%d records", n)
	}
}

// A provider of the same name that is another one has other people: they have nobody's factors.
func TestAnotherIssuersPeople(t *testing.T) {
	s := engine(t)
	enrolTOTP(t, s)
	other := ada
	other.Issuer = "https://other.example"
	if a, err := s.get(t.Context(), other); err != nil || a.enrolled() {
		t.Errorf("%+v, %v", a.TOTP, err)
	}
	if err := s.update(t.Context(), other, func(a *account) error { a.Dismissed++; return nil }); err != nil {
		t.Error(err)
	}
}

func TestReset(t *testing.T) {
	s := engine(t)
	enrolTOTP(t, s)
	if n, err := s.reset(t.Context(), "local", "bob"); n != 0 || err != nil {
		t.Errorf("somebody without: %d, %v", n, err)
	}
	if n, err := s.reset(t.Context(), "local", "ada"); n != 2 || err != nil {
		t.Errorf("ada: %d, %v", n, err)
	}
	if a, err := s.get(t.Context(), ada); err != nil || a.enrolled() || len(a.Codes) != 0 {
		t.Errorf("after the reset: %+v, %v", a, err)
	}
	// A record that nobody can open any more locks its owner out until it is reset.
	enrolTOTP(t, s)
	s.keys = newRing(t)
	if _, err := s.get(t.Context(), ada); err == nil {
		t.Error("an unreadable record is taken for none")
	}
	if n, err := s.reset(t.Context(), "local", "ada"); n == 0 || err != nil {
		t.Errorf("an unreadable record: %d, %v", n, err)
	}
	if _, err := s.get(t.Context(), ada); err != nil {
		t.Error(err)
	}
}

func TestGuard(t *testing.T) {
	s := engine(t)
	for i := range guardBurst {
		if wait, err := s.attempt(t.Context(), "local", "ada", true); wait != 0 || err != nil {
			t.Fatalf("attempt %d: %v, %v", i, wait, err)
		}
	}
	if wait, err := s.attempt(t.Context(), "local", "ada", true); wait <= 0 || wait > guardEvery || err != nil {
		t.Errorf("one too many: %v, %v", wait, err)
	}
	if wait, err := s.attempt(t.Context(), "local", "bob", true); wait != 0 || err != nil {
		t.Errorf("somebody else: %v, %v", wait, err)
	}
	// The day's wrong ones are spent: no code of an application is judged any more, a backup code is.
	key := guardKey("local", "eve")
	if _, err := s.store.Incr(t.Context(), key, guardDay, time.Hour); err != nil {
		t.Fatal(err)
	}
	if wait, err := s.attempt(t.Context(), "local", "eve", true); wait < time.Minute || err != nil {
		t.Errorf("the day is spent: %v, %v", wait, err)
	}
	if wait, err := s.attempt(t.Context(), "local", "eve", false); wait != 0 || err != nil {
		t.Errorf("a backup code: %v, %v", wait, err)
	}
}

func TestCount(t *testing.T) {
	s := engine(t)
	enrolTOTP(t, s)
	for _, name := range []string{"bob", "eve"} {
		who := ada
		who.Subject = name
		if err := s.update(t.Context(), who, func(a *account) error { a.Seen = time.Now(); return nil }); err != nil {
			t.Fatal(err)
		}
	}
	if enrolled, bare, err := s.count(t.Context()); enrolled != 1 || bare != 2 || err != nil {
		t.Errorf("%d with, %d without, %v", enrolled, bare, err)
	}
}

func BenchmarkTOTP(b *testing.B) {
	now := time.Now()
	for b.Loop() {
		match(rfcSecret, "123456", now)
	}
}
