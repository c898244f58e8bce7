package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/intercooperative/icn/app/membership"
	"github.com/intercooperative/icn/app/trust"
	"github.com/intercooperative/icn/kernel/api"
)

// graphFile is the real graph: Bitcoin OTC ratings (Kumar et al. 2016), 35,592 rows "source,target,rating,time".
const graphFile = "shared/data/soc-sign-bitcoinotc.csv"

// ratings reads the real graph from beside the repository, or draws one of the same size.
func ratings(root string) (rows []trust.Row, what string, err error) {
	f, err := os.Open(filepath.Join(root, "..", graphFile))
	if errors.Is(err, fs.ErrNotExist) {
		return drawn(), "a drawn graph of the size of Bitcoin OTC", nil
	}
	if err != nil {
		return nil, "", err
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		c := strings.Split(strings.TrimSpace(s.Text()), ",")
		if len(c) != 4 {
			return nil, "", fmt.Errorf("%s: row %q", graphFile, s.Text())
		}
		rating, e1 := strconv.Atoi(c[2])
		at, e2 := strconv.ParseFloat(c[3], 64)
		if err := errors.Join(e1, e2); err != nil {
			return nil, "", err
		}
		rows = append(rows, trust.Row{Source: trust.Label(c[0]), Target: trust.Label(c[1]), Rating: rating, Time: int64(at)})
	}
	return rows, "the real graph, Bitcoin OTC", nil
}

// drawn is a graph of 5,881 people and 35,592 ratings with few who rate much, always the same.
func drawn() (rows []trust.Row) {
	r := rand.New(rand.NewPCG(1, 2))
	who := func() int { return int(5881 * r.Float64() * r.Float64() * r.Float64()) }
	for len(rows) < 35_592 {
		from, to, rating := who(), who(), r.IntN(10)+1
		if r.IntN(10) == 0 {
			rating = -rating
		}
		if from != to {
			rows = append(rows, trust.Row{Source: trust.Label(strconv.Itoa(from)), Target: trust.Label(strconv.Itoa(to)), Rating: rating, Time: 1_300_000_000 + int64(len(rows))})
		}
	}
	return rows
}

// importGraph founds a test space and imports rows, in calls of 1,000.
func importGraph(ctx context.Context, n *node, rows []trust.Row) (took time.Duration, err error) {
	if _, err := do[membership.CreateOut](ctx, n, "space.create", newSpace(10_000, true)); err != nil {
		return 0, err
	}
	begin := time.Now()
	for at := 0; at < len(rows); at += 1000 {
		if _, err := do[trust.ImportOut](ctx, n, "trust.import", &trust.ImportIn{Seed: "bench", Rows: rows[at:min(at+1000, len(rows))]}); err != nil {
			return 0, err
		}
	}
	return time.Since(begin), nil
}

// trustAll: the graph is imported through one node's road, and then asked.
func trustAll(ctx context.Context, b *bench) (results []result, err error) {
	rows, what, err := ratings(b.root)
	if err != nil {
		return nil, err
	}
	dir, err := b.temp()
	if err != nil {
		return nil, err
	}
	u, o := standard(dir)
	n, err := start(o, nil)
	if err != nil {
		return nil, err
	}
	defer stopAll(&err, n)
	took, err := importGraph(ctx, n, rows)
	if err != nil {
		return nil, err
	}
	results = append(results, result{"trust-import", float64(len(rows)) / took.Seconds(), "records/s", "", 0, 0, what + ", durable, signed on the way"})

	reg := u.host.Oracles()
	q := api.Request{Domain: trust.Domain, Actor: n.id.DID(), Action: "append"}
	const asked = 2_000_000
	reg.Evaluate(q)
	begin := time.Now()
	for range asked {
		if reg.Evaluate(q).Effect != api.Allow {
			return results, errors.New("the oracle does not allow its own member to append")
		}
	}
	results = append(results, result{"trust-cached", float64(time.Since(begin).Nanoseconds()) / asked, "ns", "", 0, 0, "one decision from the registry's cache"})

	// Cold: the scores of everybody, from viewpoints nobody has asked from, and the chains behind one.
	var cold []float64
	list, err := do[trust.ListOut](ctx, n, "trust.list", &trust.ListIn{Limit: 1000})
	if err != nil {
		return results, err
	}
	seen := map[api.DID]bool{}
	for _, e := range list.Edges {
		if seen[e.From] || len(seen) == 50 {
			continue
		}
		seen[e.From] = true
		begin := time.Now()
		if _, err := do[trust.ScoreOut](ctx, n, "trust.score", &trust.ScoreIn{From: e.From, To: e.To}); err != nil {
			return results, err
		}
		cold = append(cold, float64(time.Since(begin).Microseconds())/1000)
	}
	return append(results, result{"trust-cold", median(cold), "ms", "", 0, 0, fmt.Sprintf("all scores from one viewpoint, median of %d", len(cold))}), nil
}
