package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"
)

// screen prints numbered steps: with colours and a spinner on a terminal, plain otherwise.
type screen struct {
	w      io.Writer
	fancy  bool
	number int
	notes  []string // of the step that runs; printed when it has ended, so that the spinner does not tear them
}

func newScreen(f *os.File, plain bool) *screen {
	s := &screen{w: f}
	if info, err := f.Stat(); err == nil && !plain && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" {
		s.fancy = info.Mode()&os.ModeCharDevice != 0
	}
	return s
}

// stepError names the step that did not hold.
type stepError struct {
	number int
	title  string
	err    error
}

func (e *stepError) Error() string {
	return fmt.Sprintf("step %d, %q, did not hold: %v", e.number, e.title, e.err)
}

func (e *stepError) Unwrap() error { return e.err }

// step runs one step and prints how it went.
func (s *screen) step(title string, do func() error) error {
	s.number++
	s.notes = nil
	began := time.Now()
	stop := s.spin(title)
	err := do()
	stop()
	mark := s.colour("32", "✓")
	if err != nil {
		mark = s.colour("31", "✗")
	}
	took := fmt.Sprintf("%.1f s", time.Since(began).Seconds())
	fmt.Fprintf(s.w, "%2d %s %s %s\n", s.number, mark, title, s.colour("2", took))
	for _, n := range s.notes {
		fmt.Fprintln(s.w, s.colour("2", "     "+n))
	}
	if err != nil {
		return &stepError{number: s.number, title: title, err: err}
	}
	return nil
}

// note says something about the step that runs; text may have several lines.
func (s *screen) note(format string, args ...any) {
	s.notes = append(s.notes, strings.Split(strings.TrimRight(fmt.Sprintf(format, args...), "\n"), "\n")...)
}

// spin shows that something goes on until the function it returns is called.
func (s *screen) spin(title string) (stop func()) {
	if !s.fancy {
		return func() {}
	}
	done := make(chan struct{})
	var wg sync.WaitGroup
	number := s.number
	wg.Go(func() {
		frames := []rune("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏")
		t := time.NewTicker(100 * time.Millisecond)
		defer t.Stop()
		for i := 0; ; i++ {
			fmt.Fprintf(s.w, "\r%2d %s %s", number, s.colour("36", string(frames[i%len(frames)])), title)
			select {
			case <-t.C:
			case <-done:
				fmt.Fprint(s.w, "\r\x1b[K")
				return
			}
		}
	})
	return func() { close(done); wg.Wait() }
}

func (s *screen) colour(code, text string) string {
	if !s.fancy {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}
