// Command bench measures ICN beside programs that do the like, prints a table, and writes results.json beside itself.
//
//	go run .                  all benchmarks
//	go run . -only ingest-64  those whose name is this or starts with it (several: separated by commas)
//
// Each benchmark measures both sides on the same machine, one after the other, and takes medians of several runs: in this process, but for HTTP, whose
// servers are processes of their own. A ratio above 1
// means that ICN is faster or smaller than its peer.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/intercooperative/icn/node/config"
)

// result is one row of the table and of results.json. Peer is empty where there is none to compare with.
type result struct {
	Name      string  `json:"name"`
	Value     float64 `json:"value"`
	Unit      string  `json:"unit"`
	Peer      string  `json:"peer"`
	PeerValue float64 `json:"peer_value"`
	Ratio     float64 `json:"ratio"`

	note string // what a reader of the table should know: the peer's options, its loss
}

// benchmark measures one or more rows. It stops early when its context ends.
type benchmark struct {
	name  string
	limit time.Duration
	run   func(ctx context.Context, b *bench) ([]result, error)
}

// bench is what benchmarks share.
type bench struct {
	dir  string        // for what they write; removed at the end
	root string        // of the repository
	idle time.Duration // how long idle processes are watched

	profile string // file for a processor profile; "": none
	servers int    // of HTTP that have been profiled so far
}

func (b *bench) temp() (string, error) { return os.MkdirTemp(b.dir, "run-") }

func benchmarks() []benchmark {
	return []benchmark{
		{"ingest-64", time.Minute, ingest(64, 20_000)},
		{"ingest-512", time.Minute, ingest(512, 40_000)},
		{"propagate-2", 40 * time.Second, propagate(2, 20_000)},
		{"propagate-10", 60 * time.Second, propagate(10, 5_000)},
		{"latency-1000", 60 * time.Second, latency},
		{"finality", 2 * time.Minute, finality},
		{"heal-10", 20 * time.Second, heal(10)},
		{"heal-1000", 20 * time.Second, heal(1000)},
		{"trust", 90 * time.Second, trustAll},
		{"connect", 30 * time.Second, connect},
		{"catch-up", 60 * time.Second, catchUp},
		{"http-read", time.Minute, httpRead},
		{"http-write", 3 * time.Minute, httpWrite},
		{"ws-fanout", 2 * time.Minute, fanout},
		{"idle-subscribers", 4 * time.Minute, idleSubscribers},
		{"idle", 4 * time.Minute, idle},
		{"economy-small", 3 * time.Minute, economy(1000, 100)},
		{"economy-large", 20 * time.Minute, economy(10_000, 50)},
		{"million", 15 * time.Minute, million},
	}
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == serveWord {
		config.UseProcessors() // as icnd
		os.Exit(serveMain(os.Args[2:]))
	}
	os.Exit(run())
}

func run() int {
	only := flag.String("only", "", "names, or beginnings of names, of the benchmarks to run, separated by commas")
	wait := flag.Duration("idle", time.Minute, "how long idle processes are watched")
	dir := flag.String("dir", "", "directory for what the benchmarks write (default the system's for temporary files); should lie on the disk in question")
	out := flag.String("o", "results.json", "file for the results")
	profile := flag.String("cpuprofile", "", "file for a processor profile; servers of HTTP write theirs to FILE.server1 and so on, and of what they allocate to FILE.server1.allocs")
	flag.Parse()
	config.UseProcessors() // as icnd, and so do the peers
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if *profile != "" {
		f, err := os.Create(*profile)
		if err != nil {
			return fail(err)
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return fail(err)
		}
		defer pprof.StopCPUProfile()
	}
	tmp, err := os.MkdirTemp(*dir, "icn-bench-")
	if err != nil {
		return fail(err)
	}
	defer os.RemoveAll(tmp)
	fmt.Printf("%s, %d cores, %s/%s, %s\n\n", runtime.Version(), runtime.NumCPU(), runtime.GOOS, runtime.GOARCH, time.Now().Format(time.DateOnly))

	rows, err := runAll(ctx, &bench{dir: tmp, root: "..", idle: *wait, profile: *profile}, *only)
	fmt.Println()
	print(rows)
	if len(rows) > 0 {
		err = errors.Join(err, write(*out, rows))
	}
	if err != nil {
		return fail(err)
	}
	return 0
}

func fail(err error) int {
	fmt.Fprintln(os.Stderr, "bench:", err)
	return 1
}

// runAll goes on after a benchmark that failed.
func runAll(ctx context.Context, b *bench, only string) (rows []result, err error) {
	ran := false
	for _, m := range benchmarks() {
		if !wanted(m.name, only) {
			continue
		}
		ran = true
		limited, cancel := context.WithTimeout(ctx, m.limit+2*b.idle)
		begin := time.Now()
		rs, e := m.run(limited, b)
		cancel()
		for _, r := range rs {
			fmt.Printf("%-24s %12s %-10s ratio %-6s %s\n", r.Name, number(r.Value), r.Unit, number(r.Ratio), r.note)
		}
		if e != nil {
			err = errors.Join(err, fmt.Errorf("%s, after %s: %w", m.name, time.Since(begin).Round(time.Second), e))
		}
		rows = append(rows, rs...)
		runtime.GC()
	}
	if !ran {
		err = fmt.Errorf("no benchmark is called %q", only)
	}
	return rows, err
}

// wanted reports whether a benchmark is meant by one of the names; latency-1000-durable is a row of latency-1000, and idle-subscribers none of idle.
func wanted(name, only string) bool {
	if only == "" {
		return true
	}
	for _, o := range strings.Split(only, ",") {
		exact := slices.ContainsFunc(benchmarks(), func(b benchmark) bool { return b.name == o })
		if o != "" && (name == o || !exact && (strings.HasPrefix(o, name+"-") || strings.HasPrefix(name, o+"-"))) {
			return true
		}
	}
	return false
}

func print(rows []result) {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "name\tvalue\tunit\tpeer\tpeer's value\tratio")
	for _, r := range rows {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", r.Name, number(r.Value), r.Unit, r.Peer, number(r.PeerValue), number(r.Ratio))
	}
	_ = w.Flush() // to standard output
}

// number is three significant digits, or none for nothing.
func number(v float64) string {
	switch {
	case v == 0:
		return "-"
	case v >= 100:
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strconv.FormatFloat(v, 'g', 3, 64)
}

func write(file string, rows []result) error {
	b, err := json.MarshalIndent(rows, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(b, '\n'), 0o644)
}

// median returns the middle of values, which it sorts.
func median[T int | float64 | time.Duration](vs []T) T {
	slices.Sort(vs)
	return vs[len(vs)/2]
}
