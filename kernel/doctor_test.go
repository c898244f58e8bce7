package kernel_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/intercooperative/icn/kernel"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/identity"
	"github.com/intercooperative/icn/kernel/record"
)

func (r *run) doctor(t *testing.T) map[string]kernel.Check {
	t.Helper()
	out := map[string]kernel.Check{}
	d := r.must(t, "node.doctor", "").(*kernel.DoctorOut)
	fails, warns := 0, 0
	for _, c := range d.Checks {
		if _, twice := out[c.Name]; twice {
			t.Errorf("two checks are called %s", c.Name)
		}
		if (c.State == kernel.CheckWarn || c.State == kernel.CheckFail) && c.Next == "" {
			t.Errorf("%s says nothing about what to do: %+v", c.Name, c)
		}
		switch c.State {
		case kernel.CheckFail:
			fails++
		case kernel.CheckWarn:
			warns++
		}
		out[c.Name] = c
	}
	if d.OK != (fails == 0) || d.Failures != fails || d.Warnings != warns {
		t.Errorf("%+v does not sum up", d)
	}
	return out
}

func wantState(t *testing.T, checks map[string]kernel.Check, name, state, text string) {
	t.Helper()
	if c := checks[name]; c.State != state || !strings.Contains(c.Value, text) {
		t.Errorf("%s: %+v, want %s with %q", name, c, state, text)
	}
}

func TestDoctor(t *testing.T) {
	dir, v := t.TempDir(), newVault(t)
	own := kernel.Check{Name: "mine", State: kernel.CheckFail, Value: "broken", Next: "mend it"}
	r := start(t, func(o *kernel.Options) {
		onDisk(dir)(o)
		o.Listen = []string{"127.0.0.1:0"}
		o.Bootstrap = []string{"icn://" + string(identity.Derive("doctor", "gone").DID()) + "@127.0.0.1:9"}
		o.Care.Checks = []func(context.Context) []kernel.Check{func(context.Context) []kernel.Check { return []kernel.Check{own} }}
	})
	// The transport opens its door after the node is ready.
	eventually(t, "the door", func() bool { return r.doctor(t)["listen"].State == kernel.CheckOK })
	c := r.doctor(t)
	wantState(t, c, "clock", kernel.CheckSkip, "no time servers")
	wantState(t, c, "hybrid-clock", kernel.CheckOK, "")
	wantState(t, c, "store", kernel.CheckOK, "pebble")
	wantState(t, c, "peers", kernel.CheckWarn, "0 up, 1 addresses kept")
	wantState(t, c, "spaces", kernel.CheckWarn, "0 followed")
	wantState(t, c, "forks", kernel.CheckOK, "none")
	wantState(t, c, "unfolded", kernel.CheckOK, "none")
	wantState(t, c, "waiting", kernel.CheckOK, "0 records")
	wantState(t, c, "snapshot", kernel.CheckWarn, "none was made")
	wantState(t, c, "mine", kernel.CheckFail, "broken")
	for _, name := range []string{"disk-space", "disk-sync", "udp-buffers", "open-files"} {
		if c[name].State == "" {
			t.Errorf("%s is missing", name)
		}
	}
	space := r.must(t, "notes.write", `{"text":"found"}`).(*api.Receipt).Topic.Space
	path, _ := v.snapshot(t, r)
	// Somebody signs two records for one place, and somebody else has a newer build.
	one, two := signed(t, space, "fork", "note", "one"), signed(t, space, "fork", "note", "two")
	r.must(t, "record.submit", fmt.Sprintf(`{"records":[%q,%q,%q]}`, one, two, signed(t, space, "newer", "song", "la")))
	c = r.doctor(t)
	wantState(t, c, "forks", kernel.CheckWarn, "1 forked feeds")
	wantState(t, c, "unfolded", kernel.CheckWarn, "1 feeds end in records")
	wantState(t, c, "spaces", kernel.CheckOK, "1 followed")
	wantState(t, c, "snapshot", kernel.CheckOK, path)
	if left, _ := filepath.Glob(filepath.Join(dir, ".icn-doctor*")); len(left) > 0 {
		t.Errorf("left over: %v", left)
	}
}

// signed is the first record of somebody in the topic of notes, in base64.
func signed(t *testing.T, space api.Hash, who, kind, body string) string {
	t.Helper()
	s := identity.Derive("doctor", who)
	e, err := record.Sign(&api.Record{Version: 1, Topic: api.Topic{Space: space, Name: "notes"}, Seq: 1, Kind: kind, Body: []byte(body), Auth: s.Auth()}, s)
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(e.Raw)
}

// A snapshot grows old, and a clock that was set back shows.
func TestDoctorOverTime(t *testing.T) {
	var mu sync.Mutex
	shift := time.Duration(0)
	r := start(t, func(o *kernel.Options) {
		o.Now = func() time.Time { mu.Lock(); defer mu.Unlock(); return time.Now().Add(shift) }
	})
	r.must(t, "notes.write", `{"text":"found"}`)
	newVault(t).snapshot(t, r)
	set := func(d time.Duration) { mu.Lock(); defer mu.Unlock(); shift = d }
	set(-time.Minute)
	wantState(t, r.doctor(t), "hybrid-clock", kernel.CheckWarn, "ahead of the wall clock")
	set(9 * 24 * time.Hour)
	c := r.doctor(t)
	wantState(t, c, "hybrid-clock", kernel.CheckOK, "")
	wantState(t, c, "snapshot", kernel.CheckWarn, "216h0m0s old")
	wantState(t, c, "disk", kernel.CheckSkip, "mem")
	wantState(t, c, "listen", kernel.CheckSkip, "")
}

// Time servers that do not answer are told of, and nothing else comes of it.
func TestDoctorWithoutTimeServers(t *testing.T) {
	r := start(t, func(o *kernel.Options) { o.Care.TimeServers = []string{"127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"} })
	if !r.Ready() {
		t.Error("not ready")
	}
	wantState(t, r.doctor(t), "clock", kernel.CheckWarn, "0 of 3 time servers")
	r.must(t, "notes.write", `{"text":"found"}`)
	if v, ok := r.reg.Value("icn_clock_offset_seconds"); !ok || v != 0 {
		t.Errorf("offset %v %t", v, ok)
	}
	id, err := identity.Generate(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kernel.New(kernel.Options{Store: "mem", Identity: id, Care: kernel.CareOptions{TimeServers: []string{"a", "b"}}}); api.KindOf(err) != api.Invalid {
		t.Errorf("two time servers: %v", err)
	}
}

// A store that was stamped by a clock years ahead is told of at the next start.
func TestDoctorRemembersAWrongClock(t *testing.T) {
	dir := t.TempDir()
	years := func() time.Time { return time.Now().Add(10 * 365 * 24 * time.Hour) }
	r := start(t, func(o *kernel.Options) { onDisk(dir)(o); o.Now = years })
	r.must(t, "notes.write", `{"text":"found"}`)
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	id, err := identity.Generate(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	k, err := kernel.New(kernel.Options{DataDir: dir, Identity: id, Apps: []api.App{&notes{}}, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	k.Close()
	if !strings.Contains(log.String(), "far ahead") {
		t.Errorf("logged %q", log.String())
	}
	again := start(t, onDisk(dir))
	wantState(t, again.doctor(t), "hybrid-clock", kernel.CheckWarn, "before its last start")
}
