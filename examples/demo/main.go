// Command demo shows what ICN does, on one machine: three real daemons found a co-op, pay each other, are cut apart and agree again, and one serves somebody
// who has none.
//
// It runs bin/icnd and bin/icnctl as a person would and knows nothing that a person could not. It is no test of details (those stand beside the
// code) and no way to run a node: everything it makes is under .demo and made anew each time.
//
// Exit codes: 0 every step held, 1 one did not, 2 usage.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

const (
	home     = ".demo" // of everything the demo makes
	patience = 50 * time.Second
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx))
}

func run(ctx context.Context) int {
	ci := flag.Bool("ci", false, "plain output; stop the nodes at the end")
	end := flag.Bool("stop", false, "end the nodes that an earlier demo left running")
	keep := flag.Bool("keep", false, "with -ci: leave what the nodes wrote in "+home)
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "demo: takes no arguments")
		flag.Usage()
		return 2
	}
	if *end {
		return endLeftovers()
	}
	s := newScreen(os.Stdout, *ci)
	d := &demo{ctx: ctx, screen: s, ci: *ci}
	began := time.Now()
	if err := d.play(); err != nil {
		d.nodes.kill()
		fmt.Fprintf(os.Stderr, "\ndemo: %v\n", err)
		var failed *stepError
		if errors.As(err, &failed) {
			d.nodes.printLogs(os.Stderr)
		}
		return 1
	}
	fmt.Fprintf(s.w, "\nEvery step held, in %.1f s.\n", time.Since(began).Seconds())
	if !*ci {
		d.farewell()
	} else if !*keep {
		if err := os.RemoveAll(home); err != nil {
			fmt.Fprintln(os.Stderr, "demo:", err)
			return 1
		}
	}
	return 0
}

// endLeftovers is `make demo-stop`.
func endLeftovers() int {
	n, err := stopLeftovers()
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		return 1
	}
	fmt.Printf("Stopped %d nodes; what they wrote is in %s.\n", n, home)
	return 0
}
