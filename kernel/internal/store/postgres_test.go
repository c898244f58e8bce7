package store_test

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/url"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/internal/store"
	"github.com/intercooperative/icn/kernel/kerneltest"
)

// server is shared by the tests; TestMain stops it.
var server kerneltest.PostgresServer

func openPostgres(t testing.TB, o store.PostgresOptions) store.Store {
	t.Helper()
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	st, err := store.OpenPostgres(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// query runs one statement beside the store, in its schema, and scans the only row of its answer.
func query(t testing.TB, at, sql string, into ...any) {
	t.Helper()
	c, err := pgx.Connect(t.Context(), at)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.WithoutCancel(t.Context()))
	if len(into) == 0 {
		_, err = c.Exec(t.Context(), sql)
	} else {
		err = c.QueryRow(t.Context(), sql).Scan(into...)
	}
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// fewer makes property tests run less often: each opens connections, and the properties are those of the other stores.
func fewer(t *testing.T) {
	t.Helper()
	checks := flag.Lookup("rapid.checks")
	old := checks.Value.String()
	if old != checks.DefValue {
		return // somebody asked for a number
	}
	if err := checks.Value.Set("12"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := checks.Value.Set(old); err != nil {
			t.Error(err)
		}
	})
}

func TestStoreInPostgres(t *testing.T) {
	fewer(t)
	kerneltest.TestStore(t, func(t testing.TB) (store.Store, func(store.Store) store.Store) {
		o := store.PostgresOptions{URL: server.URL(t)}
		return openPostgres(t, o), func(old store.Store) store.Store {
			if err := old.Close(); err != nil {
				t.Fatal(err)
			}
			return openPostgres(t, o)
		}
	})
}

// TestPostgresPages walks over more rows than a page has, with values that are read one by one among them.
func TestPostgresPages(t *testing.T) {
	st := openPostgres(t, store.PostgresOptions{URL: server.URL(t)})
	defer st.Close()
	const rows = 700
	b := st.NewBatch()
	value := func(n int) []byte {
		if n%97 == 5 {
			return bytes.Repeat([]byte{byte(n)}, 100_000)
		}
		return fmt.Append(nil, n)
	}
	for n := range rows {
		b.Set(fmt.Appendf(nil, "k%04d", 2*n), value(n))
	}
	if err := st.Commit(b, false); err != nil {
		t.Fatal(err)
	}
	it, err := st.Iter([]byte("k"), []byte("l"))
	if err != nil {
		t.Fatal(err)
	}
	defer it.Close()
	at := -1
	want := func(what string, ok bool) {
		t.Helper()
		on := at >= 0 && at < rows
		if ok != on || it.Valid() != on {
			t.Fatalf("%s: arrived %v at row %d; %v", what, ok, at, it.Err())
		}
		if on && (string(it.Key()) != fmt.Sprintf("k%04d", 2*at) || !bytes.Equal(it.Value(), value(at))) {
			t.Fatalf("%s: at %q with %d bytes, want row %d", what, it.Key(), len(it.Value()), at)
		}
	}
	at = 0
	for ok := it.First(); ; ok = it.Next() {
		if want("next", ok); !ok {
			break
		}
		at++
	}
	for at > 0 {
		at--
		want("prev", it.Prev())
	}
	at--
	want("prev", it.Prev())
	rng := rand.New(rand.NewPCG(1, 1))
	for range 60 {
		k := rng.IntN(2*rows + 2)
		if rng.IntN(2) == 0 {
			at = (k + 1) / 2
			want("ge", it.SeekGE(fmt.Appendf(nil, "k%04d", k)))
		} else {
			at = (k+1)/2 - 1
			want("lt", it.SeekLT(fmt.Appendf(nil, "k%04d", k)))
		}
		for range rng.IntN(40) {
			if rng.IntN(3) > 0 {
				at = min(at+1, rows)
				want("next", it.Next())
			} else {
				at = max(at-1, -1)
				want("prev", it.Prev())
			}
		}
	}
}

// TestPostgresKeys: keys have fewer bytes than in other stores, all of those are stored, and their order is that of the bytes.
func TestPostgresKeys(t *testing.T) {
	st := openPostgres(t, store.PostgresOptions{URL: server.URL(t)})
	defer st.Close()
	long := make([]byte, 2561) // random, so that nothing makes it shorter
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range long {
		long[i] = byte(rng.IntN(255)) + 1
	}
	b := st.NewBatch()
	b.Set(long, nil)
	if err := st.Commit(b, true); api.KindOf(err) != api.TooLarge {
		t.Errorf("%d bytes: %v", len(long), err)
	}
	b.Reset()
	b.Set(long[:2560], []byte("v"))
	for i := 1; i < 256; i++ {
		b.Set([]byte{long[0], byte(i)}, nil)
	}
	if err := st.Commit(b, true); err != nil {
		t.Fatal(err)
	}
	if v, ok, err := st.Get(long[:2560]); err != nil || !ok || string(v) != "v" {
		t.Errorf("got %q %v %v", v, ok, err)
	}
	it, err := st.Iter(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer it.Close()
	var last []byte
	n := 0
	for ok := it.First(); ok; ok = it.Next() {
		if bytes.Compare(last, it.Key()) >= 0 {
			t.Fatalf("%q after %q", it.Key(), last)
		}
		last = bytes.Clone(it.Key())
		n++
	}
	if n != 256 {
		t.Errorf("%d rows", n)
	}
}

func TestPostgresOpenErrors(t *testing.T) {
	at := server.URL(t)
	openPostgres(t, store.PostgresOptions{URL: at, Owner: "did:one"}).Close()
	newer, half, other, damaged := server.URL(t), server.URL(t), server.URL(t), server.URL(t)
	openPostgres(t, store.PostgresOptions{URL: newer}).Close()
	query(t, newer, "UPDATE icn_store SET format = 99")
	query(t, half, "CREATE TABLE icn_rows (key bytea PRIMARY KEY, value bytea)")
	query(t, other, "CREATE TABLE icn_rows (key text); CREATE TABLE icn_store (id int)")
	openPostgres(t, store.PostgresOptions{URL: damaged}).Close()
	query(t, damaged, "DELETE FROM icn_store")

	const secret = "hunter2"
	host := server.Address()
	for name, c := range map[string]struct {
		o    store.PostgresOptions
		want api.Kind
		text string
	}{
		"no URL":            {store.PostgresOptions{}, api.Invalid, "postgres://"},
		"another URL":       {store.PostgresOptions{URL: "mysql://u:" + secret + "@h/d"}, api.Invalid, "postgres://"},
		"a bad port":        {store.PostgresOptions{URL: "postgres://u:" + secret + "@h:port/d"}, api.Invalid, "postgres://"},
		"a slash in it":     {store.PostgresOptions{URL: "postgres://u:1/" + secret + "@" + host + "/d"}, api.Invalid, "percent-encoded"},
		"a mark in it":      {store.PostgresOptions{URL: "postgres://u:1?" + secret + "@" + host + "/d"}, api.Invalid, "percent-encoded"},
		"a space in it":     {store.PostgresOptions{URL: "postgres://u:a " + secret + "@" + host + "/d"}, api.Invalid, "percent-encoded"},
		"sslmode":           {store.PostgresOptions{URL: "postgres://u:" + secret + "@" + host + "/d?sslmode=maybe"}, api.Invalid, "sslmode"},
		"as a parameter":    {store.PostgresOptions{URL: "postgres://" + host + "/d?sslmode=maybe&password=" + secret}, api.Invalid, "sslmode"},
		"patience":          {store.PostgresOptions{URL: at, Patience: 1}, api.Invalid, "patience"},
		"a wrong password":  {store.PostgresOptions{URL: "postgres://icn:" + secret + "@" + host + "/postgres?sslmode=disable"}, api.Invalid, "PGPASSWORD"},
		"no such role":      {store.PostgresOptions{URL: "postgres://nobody:" + secret + "@" + host + "/postgres?sslmode=disable"}, api.Invalid, "PGPASSWORD"},
		"no such database":  {store.PostgresOptions{URL: strings.Replace(at, "/postgres", "/none", 1)}, api.Invalid, "createdb"},
		"nobody there":      {store.PostgresOptions{URL: "postgres://u:" + secret + "@127.0.0.1:1/d?sslmode=disable"}, api.Unavailable, "cannot be reached"},
		"no TLS":            {store.PostgresOptions{URL: "postgres://u:" + secret + "@" + host + "/d?sslmode=require"}, api.Unavailable, "TLS"},
		"no schema":         {store.PostgresOptions{URL: strings.Split(at, "&search_path")[0] + "&search_path=none"}, api.Internal, "no schema"},
		"another owner":     {store.PostgresOptions{URL: at, Owner: "did:two"}, api.Conflict, "the rows are those of did:one"},
		"a newer format":    {store.PostgresOptions{URL: newer}, api.Unsupported, "the store has format 99 and this build knows formats up to 3"},
		"half of the store": {store.PostgresOptions{URL: half}, api.Unsupported, "another program"},
		"other tables":      {store.PostgresOptions{URL: other}, api.Unsupported, "another program"},
		"an empty table":    {store.PostgresOptions{URL: damaged}, api.Unsupported, "another program"},
	} {
		c.o.Logger = slog.New(slog.DiscardHandler)
		st, err := store.OpenPostgres(t.Context(), c.o)
		if st != nil || api.KindOf(err) != c.want || !strings.Contains(fmt.Sprint(err), c.text) {
			t.Errorf("%s: got %v, want kind %s and %q", name, err, c.want.Code(), c.text)
		}
		if strings.Contains(fmt.Sprintf("%v %+v", err, err), secret) {
			t.Errorf("%s: the error tells the password: %v", name, err)
		}
	}
	// The same owner, and one that does not say, get in.
	openPostgres(t, store.PostgresOptions{URL: at, Owner: "did:one"}).Close()
	openPostgres(t, store.PostgresOptions{URL: at}).Close()
}

// TestPostgresPassword: the right password gets in, from the URL and from the environment, over the network.
func TestPostgresPassword(t *testing.T) {
	schema := strings.SplitAfter(server.URL(t), "search_path=")[1]
	u := url.URL{Scheme: "postgres", User: url.UserPassword("icn", kerneltest.PostgresPassword), Host: server.Address(), Path: "/postgres", RawQuery: "sslmode=disable&search_path=" + schema}
	openPostgres(t, store.PostgresOptions{URL: u.String()}).Close()
	t.Setenv("PGPASSWORD", kerneltest.PostgresPassword)
	u.User = url.User("icn")
	openPostgres(t, store.PostgresOptions{URL: u.String()}).Close()
}
