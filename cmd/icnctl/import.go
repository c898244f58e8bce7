package main

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/intercooperative/icn/client"
	"github.com/intercooperative/icn/kernel/api"
)

const (
	importBatch = 5000      // rows of one call: one person's rate holds up few others
	maxImport   = 2_000_000 // rows of one file, which are kept in memory
	maxLabel    = 64        // bytes of a person's label
)

func (c *ctl) trustImport() *cobra.Command {
	var seed string
	cmd := &cobra.Command{
		Use: "import FILE --derive-keys SEED", Short: "Import ratings between made-up people into a test space", Args: cobra.ExactArgs(1),
		Long: "Reads a CSV of source,target,rating,time: who rates whom, from -10 to 10, and when in Unix seconds; - reads standard input. A first row of words is\n" +
			"taken for a header. Each person gets keys made from the seed, so the same seed gives the same people. The file is checked before anything is\n" +
			"written, and importing it again writes nothing twice.",
		Example: "icnctl trust import soc-sign-bitcoinotc.csv --derive-keys otc",
	}
	space := spaceFlag(cmd)
	cmd.Flags().StringVar(&seed, "derive-keys", "", "from which the people's keys are made, 1 to 64 bytes")
	if err := cmd.MarkFlagRequired("derive-keys"); err != nil {
		panic(err) // the flag stands one line above
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		id, err := spaceID(*space)
		if err != nil {
			return err
		}
		rows, err := c.readRatings(args[0])
		if err != nil {
			return err
		}
		ctx, cancel := c.context(cmd)
		defer cancel()
		return c.importRows(ctx, id, seed, rows)
	}
	return cmd
}

func (c *ctl) readRatings(path string) ([]client.TrustRow, error) {
	if path == "-" {
		return parseRatings("standard input", c.in)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, api.Errorf("trust.import", api.Invalid, "%w", err)
	}
	defer f.Close()
	return parseRatings(path, f)
}

// parseRatings reads a whole file. An error names the row and the column.
func parseRatings(name string, in io.Reader) ([]client.TrustRow, error) {
	r := csv.NewReader(in)
	r.FieldsPerRecord = -1 // we say it better
	r.ReuseRecord = true
	r.Comment = '#'
	var rows []client.TrustRow
	for first := true; ; first = false {
		fields, err := r.Read()
		if errors.Is(err, io.EOF) {
			return rows, nil
		}
		var syntax *csv.ParseError
		if errors.As(err, &syntax) {
			return nil, api.Errorf("trust.import", api.Invalid, "%s:%d:%d: %w", name, syntax.Line, syntax.Column, syntax.Err)
		}
		if err != nil {
			return nil, api.Errorf("trust.import", api.Invalid, "%s: %w", name, err)
		}
		line, _ := r.FieldPos(0)
		row, column, err := parseRating(fields)
		if err != nil {
			if first && column >= 3 && header(fields) {
				continue
			}
			return nil, api.Errorf("trust.import", api.Invalid, "%s:%d: column %d: %w", name, line, column, err)
		}
		if len(rows) == maxImport {
			return nil, api.Errorf("trust.import", api.TooLarge, "%s has more than %d rows: split it", name, maxImport)
		}
		rows = append(rows, row)
	}
}

// header reports whether the columns that hold numbers hold words.
func header(fields []string) bool {
	for _, f := range fields[2:] {
		if strings.ContainsAny(f, "0123456789") {
			return false
		}
	}
	return true
}

// parseRating reads one row, or says in which column, from 1, it is wrong.
func parseRating(fields []string) (row client.TrustRow, column int, err error) {
	if len(fields) != 4 {
		return row, min(len(fields)+1, 5), fmt.Errorf("the row has %d columns, want 4: source,target,rating,time", len(fields))
	}
	for i, label := range fields[:2] {
		if label == "" || len(label) > maxLabel {
			return row, i + 1, fmt.Errorf("a person of %d bytes, want 1 to %d", len(label), maxLabel)
		}
	}
	// The record's memory is used again for the next row.
	row.Source, row.Target = strings.Clone(fields[0]), strings.Clone(fields[1])
	if row.Source == row.Target {
		return row, 2, fmt.Errorf("%q rates themselves", row.Source)
	}
	rating, err := strconv.Atoi(strings.TrimSpace(fields[2]))
	if err != nil || rating < -10 || rating > 10 {
		return row, 3, fmt.Errorf("rating %q: want a whole number from -10 to 10", fields[2])
	}
	// Some published sets have fractions of a second; whole ones are kept.
	whole, part, point := strings.Cut(strings.TrimSpace(fields[3]), ".")
	seconds, err := strconv.ParseInt(whole, 10, 64)
	if err != nil || seconds < 0 || (point && !digits(part)) {
		return row, 4, fmt.Errorf("time %q: want Unix seconds", fields[3])
	}
	row.Rating, row.Time = rating, seconds
	return row, 0, nil
}

// imported is what all calls of one import came to.
type imported struct {
	Rows     int `json:"rows"`
	Accepted int `json:"accepted"`
	Skipped  int `json:"skipped"`
}

func (c *ctl) importRows(ctx context.Context, space api.Hash, seed string, rows []client.TrustRow) error {
	opts, err := c.writeOptions()
	if err != nil {
		return err
	}
	if c.idempotency != "" {
		return api.Errorf("--idempotency-key", api.Invalid, "an import is many calls, and repeating it writes nothing twice: leave the key out")
	}
	sum := imported{Rows: len(rows)}
	for done := 0; done < len(rows); {
		batch := rows[done:min(done+importBatch, len(rows))]
		_, out, err := ask[client.TrustImportOut](ctx, c, "trust.import", client.TrustImportIn{Space: space, Seed: seed, Rows: batch}, opts...)
		if err != nil {
			c.progress(-1, 0)
			return fmt.Errorf("rows %d to %d, the ones before are in: %w", done+1, done+len(batch), err)
		}
		done += len(batch)
		sum.Accepted, sum.Skipped = sum.Accepted+out.Accepted, sum.Skipped+out.Skipped
		c.progress(done, len(rows))
	}
	c.progress(-1, 0)
	if c.json {
		return c.printValue(sum)
	}
	c.facts("rows", strconv.Itoa(sum.Rows), "accepted", strconv.Itoa(sum.Accepted), "skipped", fmt.Sprintf("%d, imported before", sum.Skipped))
	return nil
}

// progress draws a bar on a terminal; a negative done takes it away.
func (c *ctl) progress(done, all int) {
	f, ok := c.err.(*os.File)
	if !ok || c.json || !term.IsTerminal(int(f.Fd())) {
		return
	}
	const width = 40
	if done < 0 {
		fmt.Fprintf(f, "\r%s\r", strings.Repeat(" ", width+30))
		return
	}
	full := width * done / all
	fmt.Fprintf(f, "\r[%s%s] %d of %d", strings.Repeat("=", full), strings.Repeat(" ", width-full), done, all)
}
