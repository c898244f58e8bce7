package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"icnd": func() { os.Exit(run()) }})
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script", RequireExplicitExec: true,
		Setup: func(e *testscript.Env) error {
			// A socket's path may have about a hundred bytes; the directory of a script is often longer.
			dir, err := os.MkdirTemp("", "icn")
			e.Setenv("N", dir)
			e.Defer(func() { os.RemoveAll(dir) })
			return err
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			// exits CODE COMMAND...: like exec, but for one exit code.
			"exits": func(ts *testscript.TestScript, neg bool, args []string) {
				err := ts.Exec(args[1], args[2:]...)
				got := 0
				var status interface{ ExitCode() int }
				if errors.As(err, &status) {
					got = status.ExitCode()
				} else if err != nil {
					ts.Fatalf("%v", err)
				}
				if neg || fmt.Sprint(got) != args[0] {
					ts.Fatalf("%s exited with %d, want %s", strings.Join(args[1:], " "), got, args[0])
				}
			},
			// term LOCKFILE: sends SIGTERM to the process whose id stands in the file.
			"term": func(ts *testscript.TestScript, _ bool, args []string) {
				pid, err := strconv.Atoi(strings.TrimSpace(ts.ReadFile(args[0])))
				ts.Check(err)
				ts.Check(syscall.Kill(pid, syscall.SIGTERM))
			},
			// await PATH: until a file is there.
			"await": func(ts *testscript.TestScript, _ bool, args []string) {
				for range 400 {
					if _, err := os.Lstat(filepath.Clean(args[0])); err == nil {
						return
					}
					time.Sleep(25 * time.Millisecond)
				}
				ts.Fatalf("%s did not come", args[0])
			},
		},
	})
}
