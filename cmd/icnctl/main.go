// Command icnctl asks a running node, over its local socket: nouns, then verbs. With --json it prints what the operation answered, otherwise
// tables for people.
//
// Results go to standard output, everything said about them to standard error. Exit codes: 0 done, 1 failure or refusal, 2 usage or configuration.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"charm.land/fang/v2"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/node/config"
)

func main() { os.Exit(run()) }

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	out := &output{w: os.Stdout}
	c := &ctl{out: out, err: os.Stderr, in: os.Stdin, environ: os.Environ()}
	defer c.close()
	err := fang.Execute(ctx, c.root(), fang.WithVersion(config.Version()), fang.WithErrorHandler(func(w io.Writer, _ fang.Styles, err error) { c.report(w, err) }))
	if err == nil && out.err != nil {
		err = out.err
		c.report(os.Stderr, err)
	}
	return exitCode(err)
}

// exitCode maps an error to the process's exit code. What is not an *api.Error comes from cobra: an unknown flag, command or argument.
func exitCode(err error) int {
	var known *api.Error
	switch {
	case err == nil:
		return 0
	case !errors.As(err, &known):
		return api.Invalid.ExitCode()
	}
	return api.KindOf(err).ExitCode()
}

// report prints an error, why, and what to do next.
func (c *ctl) report(w io.Writer, err error) {
	if c.json {
		reportJSON(w, err)
		return
	}
	reason, id := api.ReasonOf(err), api.RefusalOf(err)
	if reason == nil {
		fmt.Fprintln(w, "icnctl:", err)
	} else {
		// The remedy stands at the end of the text too; it gets a line of its own.
		fmt.Fprintln(w, "icnctl:", strings.TrimSuffix(err.Error(), " ("+reason.Remedy+")"))
		fmt.Fprintf(w, "  rule    %s/%s\n", reason.Domain, reason.Rule)
		for _, k := range sortedKeys(reason.Inputs) {
			fmt.Fprintf(w, "  %-7s %s\n", k, reason.Inputs[k])
		}
	}
	if id != "" {
		fmt.Fprintf(w, "  refusal %s, for icnctl explain\n", id)
	}
	if next := c.next(err, reason); next != "" {
		fmt.Fprintln(w, "  next   ", next)
	}
}

// next says what to do about an error.
func (c *ctl) next(err error, reason *api.Reason) string {
	if reason != nil {
		return reason.Remedy
	}
	var known *api.Error
	if !errors.As(err, &known) {
		return "icnctl help, or --help behind any command, shows what there is"
	}
	switch api.KindOf(err) {
	case api.Unavailable:
		if known.Op == "client.dial" {
			return fmt.Sprintf("start the daemon with `icnd run --data-dir %s`, or say where it is with --data-dir or --rpc", c.dir())
		}
		return "repeat it in a moment"
	case api.Unsupported:
		return "the daemon may be older or newer than this icnctl: compare them with `icnctl version`"
	case api.RateLimited:
		return "repeat it in a moment"
	case api.Timeout:
		return "a write may have been done: repeat it with the same --idempotency-key, or look first"
	case api.Internal, api.Other:
		return "the daemon's log says more; this is a fault of the software: please report it"
	}
	return ""
}
