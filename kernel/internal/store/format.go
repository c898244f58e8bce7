package store

import (
	"strconv"

	"github.com/cockroachdb/pebble/v2"

	"github.com/intercooperative/icn/kernel/api"
)

// reserved is the first byte of the store's own keys.
const reserved = 0

// formatKey holds the number of the format the rows are in, in decimal digits.
const formatKey = "\x00format"

// format is the format this build reads and writes: what fold/keys.go says the rows are.
const format = 3

// A migration brings the rows of a store from one format to the next. It may commit batches of its own, and must then be able to run
// again from any state they leave behind: after a crash it does. What it puts into last is committed together with the new number.
type migration func(s Store, last Batch) error

// migrations returns the migration from format i+1 to i+2 at index i. There are format-1 of them.
func migrations() []migration { return []migration{rebuildState, rebuildState} }

// rebuildState has the state made anew from the records when the store is next used: what fold and the apps derive from them lies otherwise in formats 2 and 3. The row is
// fold's mark of a rebuild that is to be done.
func rebuildState(_ Store, last Batch) error {
	last.Set([]byte("Mrebuilding"), []byte{1})
	return nil
}

// migrate writes the format number of a new store, and brings an older one to the present format.
func migrate(d *db, steps []migration) error {
	const op = "store.migrate"
	newest := len(steps) + 1
	text, ok, err := getAny(d.p, []byte(formatKey))
	if err != nil {
		return err
	}
	if !ok {
		if err := isEmpty(d); err != nil {
			return err
		}
		return setFormat(d, d.NewBatch(), newest)
	}
	n, err := strconv.Atoi(string(text))
	switch {
	case err != nil || n < 1:
		return api.Errorf(op, api.Internal, "format number %q is not a number from 1", text)
	case n > newest:
		return api.Errorf(op, api.Unsupported, "the store has format %d and this build knows formats up to %d: use a newer build, or restore a backup", n, newest)
	}
	for d.format = n; d.format < newest; {
		last := d.NewBatch()
		if err := steps[d.format-1](d, last); err != nil {
			return api.Errorf(op, api.KindOf(err), "from format %d to %d: %w", d.format, d.format+1, err)
		}
		if err := setFormat(d, last, d.format+1); err != nil {
			return err
		}
	}
	return nil
}

// setFormat commits and closes b together with the number n.
func setFormat(d *db, b Batch, n int) error {
	defer b.Close()
	mine := b.(*batch)
	if err := mine.take(); err != nil {
		return err
	}
	if err := mine.p.Set([]byte(formatKey), strconv.AppendInt(nil, int64(n), 10), nil); err != nil {
		return api.Errorf("store.migrate", api.Internal, "%w", err)
	}
	if err := d.apply(mine.p, true); err != nil {
		return err
	}
	d.format = n
	return nil
}

// isEmpty refuses a store with rows but no format number: something else wrote it.
func isEmpty(d *db) error {
	it, err := d.p.NewIter(&pebble.IterOptions{})
	if err != nil {
		return api.Errorf("store.migrate", api.Internal, "%w", err)
	}
	found := it.First()
	if err := it.Close(); err != nil {
		return api.Errorf("store.migrate", api.Internal, "%w", err)
	}
	if found {
		return api.Errorf("store.migrate", api.Unsupported, "the directory holds rows but no format number: another program wrote it")
	}
	return nil
}
