package waf

import "gatehouse.internal/modules/waf/processors"

func init() {
	if err := processors.Register(); err != nil {
		panic(err) // Coraza is not what this was written for
	}
}
