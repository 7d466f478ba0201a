package standard_test

import (
	"testing"

	"gatehouse.internal/modules/internal/gatetest"
)

func TestMain(m *testing.M) { gatetest.Main(m) }
