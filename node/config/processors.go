package config

import (
	"os"
	"runtime"
)

// UseProcessors gives the program's goroutines two slots for each processor it may use, unless the environment (GOMAXPROCS) says how many. A goroutine in
// a system call keeps its slot until the runtime notices, and a busy node is always in one, for the log and its syncs: with one slot for
// each processor a tenth of them stood idle meanwhile (docs/performance.md). It is for main functions, once, at their start.
func UseProcessors() {
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(2 * runtime.GOMAXPROCS(0))
	}
}
