package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
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
			e.Setenv("GATEWAY", freeAddress())
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
			// http STATUS METHOD URL [HEADER [BODY]]: until the server answers with the status; the answer is the command's output.
			"http": func(ts *testscript.TestScript, neg bool, args []string) {
				if neg || len(args) < 3 {
					ts.Fatalf("usage: http STATUS METHOD URL [HEADER [BODY]]")
				}
				answer := ""
				for range 400 {
					var status int
					if status, answer = ask(args[1:]...); fmt.Sprint(status) == args[0] {
						fmt.Fprint(ts.Stdout(), answer)
						return
					}
					time.Sleep(25 * time.Millisecond)
				}
				ts.Fatalf("%s was not answered with %s:\n%s", args[2], args[0], answer)
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

// freeAddress is one on which nobody listens now.
func freeAddress() string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return ""
	}
	defer l.Close()
	return l.Addr().String()
}

// ask sends one HTTP request and returns its status, 0 for none, and its headers and body as text.
func ask(args ...string) (int, string) {
	args = append(args, "", "")
	r, err := http.NewRequest(args[0], args[1], strings.NewReader(args[3]))
	if err != nil {
		return 0, err.Error()
	}
	if name, value, ok := strings.Cut(args[2], ": "); ok {
		r.Header.Set(name, value)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	var b strings.Builder
	if err := errors.Join(resp.Header.Write(&b), func() error { _, err := io.Copy(&b, resp.Body); return err }()); err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, b.String()
}
