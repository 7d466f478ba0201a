package authn

import (
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestAnswerIsUsedOnce(t *testing.T) {
	var a answered
	var firsts atomic.Int32
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			if a.first("flow") {
				firsts.Add(1)
			}
		})
	}
	wg.Wait()
	if firsts.Load() != 1 {
		t.Fatalf("%d of 16 parallel answers were the first", firsts.Load())
	}
}

func TestAnsweredIsBounded(t *testing.T) {
	var a answered
	for i := range 5 * answeredLimit {
		if !a.first(strconv.Itoa(i)) {
			t.Fatalf("flow %d was never seen", i)
		}
	}
	if n := len(a.young) + len(a.old); n > 2*answeredLimit {
		t.Fatalf("%d flows are remembered", n)
	}
	if a.first(strconv.Itoa(5*answeredLimit - 1)) {
		t.Error("the latest flow is forgotten")
	}
}

func TestAnsweredOutlivesTheFlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var a answered
		a.first("flow")
		time.Sleep(flowLifetime + time.Second)
		a.first("another") // rotates
		if a.first("flow") {
			t.Error("a flow is forgotten before it has expired")
		}
	})
}
