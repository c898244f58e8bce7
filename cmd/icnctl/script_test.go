package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

var shellBlock = regexp.MustCompile("(?ms)^```bash\n(.*?)^```$")

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"icnctl": func() { os.Exit(run()) }})
}

// Scripts that need no node.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{Dir: "testdata/script", RequireExplicitExec: true, Cmds: commands(nil)})
}

// Scripts with nodes, each a process of its own: see daemons.
func TestEndToEnd(t *testing.T) {
	if testing.Short() {
		t.Skip("starts nodes")
	}
	d := &daemons{t: t, icnd: build(t), running: map[string]*daemon{}}
	testscript.Run(t, testscript.Params{
		Dir: "testdata/e2e", RequireExplicitExec: true, Cmds: commands(d),
		Setup: func(e *testscript.Env) error {
			// A socket's path may have about a hundred bytes; the directory of a script is often longer.
			dir, err := os.MkdirTemp("", "icn")
			e.Setenv("N", dir)
			e.Setenv("GATEWAY", freeTCP(t))
			e.Setenv("PROXY", freeTCP(t))
			e.Setenv("ICN_KEYSTORE_PASSPHRASE", passphrase)
			e.Setenv("GATEWAY", freeAddress())
			rules, rerr := filepath.Abs("../../docs/guides/icn.rules")
			if err == nil {
				err = rerr
			}
			e.Setenv("RULES", rules)
			e.Defer(func() { os.RemoveAll(dir) })
			return err
		},
	})
}

func commands(d *daemons) map[string]func(*testscript.TestScript, bool, []string) {
	cmds := map[string]func(*testscript.TestScript, bool, []string){
		// exits CODE COMMAND...: like exec, but for one exit code. Output is compared with stdout and stderr as usual.
		"exits": func(ts *testscript.TestScript, neg bool, args []string) {
			if neg || len(args) < 2 {
				ts.Fatalf("usage: exits CODE COMMAND...")
			}
			err := ts.Exec(args[1], args[2:]...)
			got := 0
			var status interface{ ExitCode() int }
			if errors.As(err, &status) {
				got = status.ExitCode()
			} else if err != nil {
				ts.Fatalf("%v", err)
			}
			if fmt.Sprint(got) != args[0] {
				ts.Fatalf("%s exited with %d, want %s", strings.Join(args[1:], " "), got, args[0])
			}
		},
		// set NAME: keeps what the last command printed, trimmed, in an environment variable.
		"set": func(ts *testscript.TestScript, neg bool, args []string) {
			if neg || len(args) != 1 {
				ts.Fatalf("usage: set NAME")
			}
			ts.Setenv(args[0], strings.TrimSpace(ts.ReadFile("stdout")))
		},
		// field NAME WORD: keeps the second column of the line of the last output that begins with WORD, of JSON without what is around it.
		"field": func(ts *testscript.TestScript, neg bool, args []string) {
			if neg || len(args) != 2 {
				ts.Fatalf("usage: field NAME WORD")
			}
			for line := range strings.Lines(ts.ReadFile("stdout")) {
				if f := strings.Fields(line); len(f) > 1 && f[0] == args[1] {
					ts.Setenv(args[0], strings.Trim(f[1], `",`))
					return
				}
			}
			ts.Fatalf("no line begins with %q", args[1])
		},
		// guide PAGE... [-- COMMANDS]: runs the blocks of shell in pages of docs/guides, in order, as a reader would, and then further commands.
		"guide": func(ts *testscript.TestScript, neg bool, args []string) {
			var script strings.Builder
			for i, page := range args {
				if page == "--" {
					script.WriteString(strings.Join(args[i+1:], " "))
					break
				}
				text, err := os.ReadFile(filepath.Join("../../docs/guides", page))
				ts.Check(err)
				blocks := shellBlock.FindAllSubmatch(text, -1)
				if len(blocks) == 0 {
					ts.Fatalf("%s has no blocks of shell", page)
				}
				for _, b := range blocks {
					script.Write(b[1])
				}
			}
			if err := ts.Exec("bash", "-euo", "pipefail", "-c", script.String()); neg != (err != nil) {
				ts.Fatalf("%s: %v", strings.Join(args, " "), err)
			}
		},
		// expand FILE: puts the values of environment variables into a file.
		"expand": func(ts *testscript.TestScript, neg bool, args []string) {
			if neg || len(args) != 1 {
				ts.Fatalf("usage: expand FILE")
			}
			ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(os.Expand(ts.ReadFile(args[0]), ts.Getenv)), 0o600))
		},
	}
	cmds["photo"] = writePhoto
	if d != nil {
		cmds["node"], cmds["term"], cmds["crash"], cmds["until"], cmds["losing"] = d.start, d.term, d.crash, until, d.losing
	}
	return cmds
}

// freeTCP returns an address that nobody uses at the moment.
func freeTCP(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
