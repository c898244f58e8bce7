package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/intercooperative/icn/kernel/api"
)

// PostgresOptions say which database a store lies in.
type PostgresOptions struct {
	// URL names server, role, database and whatever else a libpq URL may say, such as sslmode and pool_max_conns. It never shows in an
	// error or a log line. What it leaves out comes from the usual PG variables, PGPASSWORD and PGPASSFILE among them. Required.
	URL string
	// Owner says whose rows these are: the first that is not empty is kept in the database, and another one is refused. At most 256 bytes.
	Owner string
	// Patience is how long a lost connection may take to come back before the store fails. 0 means 30 s; at least 100 ms.
	Patience time.Duration
	// Logger hears of lost connections and of waiting. nil means slog.Default.
	Logger *slog.Logger
	// OnFail is that of Options.
	OnFail func(error)
}

// IsPostgresURL tells the URL of a database from the name of another engine.
func IsPostgresURL(s string) bool {
	return strings.HasPrefix(s, "postgres://") || strings.HasPrefix(s, "postgresql://")
}

// where names a database for people.
func where(c *pgx.ConnConfig) string { return fmt.Sprintf("%s on %s", c.Database, c.Host) }

// parse fills in what is zero and reads the URL.
func (o *PostgresOptions) parse() (*pgxpool.Config, error) {
	const op = "store.options"
	if o.Patience == 0 {
		o.Patience = 30 * time.Second
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.OnFail == nil {
		o.OnFail = func(error) {}
	}
	if o.Patience < 100*time.Millisecond {
		return nil, api.Errorf(op, api.Invalid, "patience of %s: at least 100ms", o.Patience)
	}
	if len(o.Owner) > 256 {
		return nil, api.Errorf(op, api.Invalid, "owner of %d bytes: at most 256", len(o.Owner))
	}
	// What the parsers have to say may quote the password, if its bytes are where something else was expected.
	const want = "the database's URL cannot be read: want postgres://role@host:5432/database?sslmode=verify-full, with special characters percent-encoded; the password is best given by PGPASSWORD or PGPASSFILE"
	u, err := url.Parse(o.URL)
	// A password with a slash in it looks like a host, a path and a stray @.
	if err != nil || !IsPostgresURL(o.URL) || strings.Contains(u.EscapedPath()+u.RawQuery, "@") || u.Fragment != "" {
		return nil, api.Errorf(op, api.Invalid, "%s", want)
	}
	cfg, err := pgxpool.ParseConfig(o.URL)
	if err != nil {
		if why := errors.Unwrap(err); why != nil && !hasPassword(u) && !strings.Contains(strings.ToLower(u.RawQuery), "password") {
			return nil, api.Errorf(op, api.Invalid, "%s (%w)", want, why)
		}
		return nil, api.Errorf(op, api.Invalid, "%s", want)
	}
	if !u.Query().Has("pool_max_conns") {
		cfg.MaxConns = defaultConns
	}
	cfg.MaxConns = max(cfg.MaxConns, minConns)
	o.session(cfg.ConnConfig)
	return cfg, nil
}

func hasPassword(u *url.URL) bool {
	_, has := u.User.Password()
	return has
}

// session sets what each session needs, whatever server and role have set.
func (o *PostgresOptions) session(c *pgx.ConnConfig) {
	if c.ConnectTimeout == 0 || c.ConnectTimeout > o.Patience {
		c.ConnectTimeout = min(o.Patience, 10*time.Second)
	}
	for k, v := range map[string]string{
		"default_transaction_isolation": "read committed",
		"statement_timeout":             "0",
		"lock_timeout":                  "0",
		// A host that vanished is noticed, and its lock released, within half a minute instead of hours.
		"tcp_keepalives_idle":     "10",
		"tcp_keepalives_interval": "5",
		"tcp_keepalives_count":    "3",
		// Rows are always found by the index; a plan made while the table was empty must not read all of it a year later.
		"enable_seqscan":    "off",
		"enable_bitmapscan": "off",
		"plan_cache_mode":   "force_generic_plan",
		"jit":               "off",
	} {
		c.RuntimeParams[k] = v
	}
	if c.RuntimeParams["application_name"] == "" {
		c.RuntimeParams["application_name"] = "icnd"
	}
	c.AfterConnect = func(ctx context.Context, c *pgconn.PgConn) error {
		// A role may have synchronous commits off; stronger settings than "on" are left as they are.
		return c.Exec(ctx, "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'").Close()
	}
}
