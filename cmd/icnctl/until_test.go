package main

import (
	"regexp"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// until PATTERN COMMAND... repeats a command until its output matches: what comes from another node comes when it comes.
func until(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: until PATTERN COMMAND...")
	}
	want := regexp.MustCompile("(?m)" + args[0])
	for range 400 {
		err := ts.Exec(args[1], args[2:]...)
		if err == nil && want.MatchString(ts.ReadFile("stdout")) {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	ts.Fatalf("%q did not come:\n%s%s", args[0], ts.ReadFile("stdout"), ts.ReadFile("stderr"))
}
