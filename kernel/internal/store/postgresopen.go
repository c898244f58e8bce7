package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/intercooperative/icn/kernel/api"
)

// schema is what the first node makes in an empty database. Values are not compressed: most are signatures and small records.
const schema = `
CREATE TABLE icn_rows (key bytea PRIMARY KEY, value bytea NOT NULL);
ALTER TABLE icn_rows ALTER COLUMN value SET STORAGE EXTERNAL;
CREATE TABLE icn_store (
	one boolean PRIMARY KEY DEFAULT true CHECK (one),
	format integer NOT NULL,
	owner text NOT NULL,
	epoch bigint NOT NULL,
	commits bigint NOT NULL,
	holder text NOT NULL,
	since timestamptz NOT NULL
);
INSERT INTO icn_store (format, owner, epoch, commits, holder, since) VALUES (%d, '', 0, 0, '', now());
`

// creating is the advisory lock under which the tables are made, and the upper half of the number of every other lock of ours.
const creating int64 = 0x69636e

var errForeign = errors.New("the tables icn_rows and icn_store are not what this program makes: another program made them, or half of a backup was restored")

// takeOver connects, makes the tables if there are none, waits until no other node writes, and takes the next epoch.
func (p *postgres) takeOver(ctx context.Context, newest int) error {
	known := false // the server has answered before: a standby outlasts its restarts
	waiting := ""
	for {
		holder, err := p.tryTakeOver(ctx, newest)
		switch {
		case err == nil && holder == "":
			return nil
		case ctx.Err() != nil:
			return api.Errorf("store.open", api.Unavailable, "gave up waiting: %w", cmp.Or(err, ctx.Err()))
		case err != nil && (!known || !transient(err)):
			return classify(err)
		case err != nil:
			p.w.disconnect()
			p.log.Warn("store: waiting for the database to come back", "err", err)
		case holder != waiting:
			known, waiting = true, holder
			p.log.Info("store: another node writes this database; waiting to take over when it ends", "holder", holder)
		}
		select {
		case <-time.After(askEvery):
		case <-ctx.Done():
			return api.Errorf("store.open", api.Unavailable, "gave up waiting for the node that writes this database (%s): %w", waiting, ctx.Err())
		}
	}
}

// tryTakeOver returns who writes the database, or "" when this node does from now on.
func (p *postgres) tryTakeOver(ctx context.Context, newest int) (holder string, err error) {
	ctx, cancel := context.WithTimeout(ctx, attempt)
	defer cancel()
	if p.w.conn == nil {
		if err := p.w.connect(ctx); err != nil {
			return "", err
		}
		if err := p.prepare(ctx, newest); err != nil {
			return "", err
		}
	}
	c := p.w.conn
	var format int
	var owner string
	if err := c.QueryRow(ctx, "SELECT format, owner, holder FROM icn_store").Scan(&format, &owner, &holder); err != nil {
		return "", err
	}
	if err := p.refuse(format, newest, owner); err != nil {
		return "", err
	}
	var mine bool
	if err := c.QueryRow(ctx, "SELECT pg_try_advisory_lock($1)", p.lockKey).Scan(&mine); err != nil {
		return "", err
	}
	if !mine {
		return cmp.Or(holder, "unknown"), nil
	}
	host, _ := os.Hostname() // for people
	var commits int64
	err = c.QueryRow(ctx, `UPDATE icn_store SET epoch = epoch + 1, since = now(), holder = $1, owner = CASE owner WHEN '' THEN $2 ELSE owner END
		RETURNING epoch, commits, format`, fmt.Sprintf("%s, process %d", cmp.Or(host, "unknown host"), os.Getpid()), p.opt.Owner).Scan(&p.epoch, &commits, &format)
	if err != nil {
		return "", err
	}
	p.version.Store(commits)
	p.cache = newReadCache(commits)
	p.format.Store(int64(format))
	return "", p.refuse(format, newest, owner) // the one before may have brought it to a format of its own
}

// refuse says why rows of that format and owner are not for us.
func (p *postgres) refuse(format, newest int, owner string) error {
	const op = "store.open"
	switch {
	case format < 1:
		return errForeign
	case format > newest:
		return api.Errorf(op, api.Unsupported, "the store has format %d and this build knows formats up to %d: use a newer build, or restore a backup", format, newest)
	case owner != "" && p.opt.Owner != "" && owner != p.opt.Owner:
		return api.Errorf(op, api.Conflict, "the rows are those of %s, and this node is of %s: name another database", owner, p.opt.Owner)
	}
	return nil
}

// prepare makes sure of the tables, on a fresh connection.
func (p *postgres) prepare(ctx context.Context, newest int) error {
	c := p.w.conn
	var fsync string
	if err := c.QueryRow(ctx, "SHOW fsync").Scan(&fsync); err != nil {
		return err
	}
	if fsync != "on" {
		p.log.Warn("store: the server runs with fsync off: what it calls committed may be lost when its machine fails")
	}
	err := pgx.BeginFunc(ctx, c, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", creating); err != nil {
			return err
		}
		var rows, store bool
		if err := tx.QueryRow(ctx, "SELECT to_regclass('icn_rows') IS NOT NULL, to_regclass('icn_store') IS NOT NULL").Scan(&rows, &store); err != nil {
			return err
		}
		if rows != store {
			return errForeign
		}
		if rows {
			return nil
		}
		_, err := tx.Exec(ctx, fmt.Sprintf(schema, newest))
		return err
	})
	if err != nil {
		return err
	}
	var oid uint32
	if err := c.QueryRow(ctx, "SELECT 'icn_store'::regclass::oid").Scan(&oid); err != nil {
		return err
	}
	p.lockKey = creating<<32 | int64(oid)
	return nil
}

// migrate brings an older store to the present format. The last batch of each step is committed together with the new number.
func (p *postgres) migrate(steps []migration) error {
	for n := p.Format(); n <= len(steps); n++ {
		b := p.NewBatch()
		err := steps[n-1](p, b)
		if err != nil {
			b.Close()
			return api.Errorf("store.migrate", api.KindOf(err), "from format %d to %d: %w", n, n+1, err)
		}
		ops, err := b.(*pgBatch).take()
		if err != nil {
			return err
		}
		p.format.Store(int64(n + 1)) // written by every commit
		if err := p.commit(ops, true); err != nil {
			return err
		}
	}
	return nil
}

// classify gives an error of opening its kind, and tells operators what to look at.
func classify(err error) error {
	const op = "store.open"
	var known *api.Error
	if errors.As(err, &known) {
		return err
	}
	if errors.Is(err, errForeign) || errors.Is(err, pgx.ErrNoRows) {
		return api.Errorf(op, api.Unsupported, "%w", errForeign)
	}
	var pe *pgconn.PgError
	if !errors.As(err, &pe) {
		return api.Errorf(op, api.Unavailable, "the server cannot be reached: %w", err)
	}
	switch {
	case strings.HasPrefix(pe.Code, "28"):
		return api.Errorf(op, api.Invalid, "the server does not let this role in: check role and password (PGPASSWORD or PGPASSFILE), and pg_hba.conf: %w", err)
	case pe.Code == "3D000":
		return api.Errorf(op, api.Invalid, "%w: make it with createdb", err)
	case pe.Code == "42501":
		return api.Errorf(op, api.Invalid, "the role must own the database, or be allowed to create tables in it: %w", err)
	case pe.Code == "25006":
		return api.Errorf(op, api.Invalid, "the server is a replica that cannot be written: name the primary, or several hosts and target_session_attrs=read-write: %w", err)
	case pe.Code == "42P01", pe.Code == "42703", pe.Code == "42809":
		return api.Errorf(op, api.Unsupported, "%w (%w)", errForeign, err)
	case transient(err):
		return api.Errorf(op, api.Unavailable, "%w", err)
	}
	return api.Errorf(op, api.Internal, "%w", err)
}
