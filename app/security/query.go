package security

import (
	"cmp"
	"context"
	"encoding/base64"
	"fmt"
	"time"

	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/record"
)

// Page sizes of lists, in entries.
const (
	defaultPage = 50
	maxPage     = 500
)

// ListIn is the input of security.list.
type ListIn struct {
	Limit int `json:"limit,omitempty" doc:"Entries, 1 to 500; default 50. The most blamed come first"`
}

// Validate implements api.Validator.
func (in *ListIn) Validate() error { return checkLimit(in.Limit) }

func checkLimit(n int) error {
	if n < 0 || n > maxPage {
		return fmt.Errorf("limit %d: want 1 to %d", n, maxPage)
	}
	return nil
}

// Standing is what this node holds against somebody.
type Standing struct {
	Subject   api.DID   `json:"subject" doc:"a node or an author"`
	Level     string    `json:"level" doc:"none, warn, throttle, quarantine or ban"`
	Points    float64   `json:"points" doc:"halve every hour"`
	Since     time.Time `json:"since,omitzero" doc:"when the level was entered"`
	Until     time.Time `json:"until,omitzero" doc:"when it gives way to a lower one if nothing more happens"`
	Bans      int       `json:"bans,omitempty" doc:"so far: each lasts twice as long as the one before"`
	Pardoned  time.Time `json:"pardoned,omitzero"`
	Incidents []Tally   `json:"incidents"`
	Forks     []Fork    `json:"forks,omitempty"`
	Detail    string    `json:"detail,omitempty" doc:"of the last incident; may quote what was sent"`
}

// Tally counts incidents of one kind.
type Tally struct {
	Kind  string    `json:"kind"`
	Count uint64    `json:"count"`
	Last  time.Time `json:"last"`
}

// Fork is a feed whose author signed two records for one place.
type Fork struct {
	Feed api.Hash `json:"feed"`
	Seq  uint64   `json:"seq"`
}

// ListOut is the output of security.list.
type ListOut struct {
	Standings []Standing `json:"standings"`
	Known     int        `json:"known" doc:"how many there are in all"`
}

func (a *App) list(_ context.Context, _ *api.Call, in *ListIn) (*ListOut, error) {
	host, err := a.with("security.list")
	if err != nil {
		return nil, err
	}
	now := host.Now()
	all := a.table.names(now)
	out := &ListOut{Standings: []Standing{}, Known: len(all)}
	for _, who := range all[:min(len(all), cmp.Or(in.Limit, defaultPage))] {
		if s, ok := a.table.get(who); ok {
			out.Standings = append(out.Standings, s.show(now, who))
		}
	}
	return out, nil
}

// ShowIn is the input of security.show.
type ShowIn struct {
	Subject api.DID `json:"subject" doc:"DID of a node or an author"`
}

// Validate implements api.Validator.
func (in *ShowIn) Validate() error {
	_, err := record.ParseDID(string(in.Subject))
	return err
}

// ShowOut is the output of security.show.
type ShowOut struct {
	Standing Standing `json:"standing"`
	Connect  bool     `json:"connect" doc:"whether it may have a session with this node"`
	Follow   bool     `json:"follow" doc:"whether spaces are shared with it"`
	Pushes   uint32   `json:"pushes_per_second" doc:"records that it may push to this node"`
	Appends  uint32   `json:"appends_per_second,omitempty" doc:"records taken from it as an author; none: no limit of this app's"`
}

func (a *App) show(_ context.Context, _ *api.Call, in *ShowIn) (*ShowOut, error) {
	host, err := a.with("security.show")
	if err != nil {
		return nil, err
	}
	now := host.Now()
	s, _ := a.table.get(in.Subject)
	level := s.level(now)
	out := &ShowOut{Standing: s.show(now, in.Subject), Connect: level < Ban, Follow: level < Quarantine, Pushes: level.pushes().PerSecond}
	if rate := level.appends(); rate != nil {
		out.Appends = rate.PerSecond
	}
	return out, nil
}

// show is the row for people.
func (s *subject) show(now time.Time, who api.DID) Standing {
	out := Standing{
		Subject: who, Level: s.level(now).String(), Points: float64(s.points(now)) / point, Bans: s.Bans, Detail: s.Detail, Incidents: []Tally{},
		Pardoned: clock(s.Pardoned),
	}
	if l := s.level(now); l > None {
		out.Until = s.expires(now).UTC()
		if l == s.Level {
			out.Since = clock(s.Since)
		}
	}
	for _, t := range s.Kinds {
		out.Incidents = append(out.Incidents, Tally{Kind: t.Kind, Count: t.Count, Last: clock(t.Last)})
	}
	for _, f := range s.Forks {
		out.Forks = append(out.Forks, Fork{Feed: f.Feed, Seq: f.Seq})
	}
	return out
}

func clock(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

// ReportsIn is the input of security.reports.
type ReportsIn struct {
	Space   api.Hash `json:"space,omitzero" doc:"Id of the space; default: the only one this node follows"`
	Subject api.DID  `json:"subject,omitempty" doc:"Only what concerns this node or author"`
	Limit   int      `json:"limit,omitempty" doc:"Entries of a page, 1 to 500; default 50"`
	Cursor  string   `json:"cursor,omitempty" doc:"Where the page before ended"`
}

// Validate implements api.Validator.
func (in *ReportsIn) Validate() error {
	if err := checkLimit(in.Limit); err != nil {
		return err
	}
	return optionalDID(in.Subject)
}

// Case is a report of a fork, an appeal or a pardon.
type Case struct {
	Kind    string     `json:"kind" doc:"report, appeal or pardon"`
	ID      api.Hash   `json:"id"`
	Time    time.Time  `json:"time" doc:"by the author's clock"`
	By      api.DID    `json:"by"`
	Subject api.DID    `json:"subject"`
	Text    string     `json:"text,omitempty"`
	Feed    api.Hash   `json:"feed,omitzero" doc:"of a report: the forked feed"`
	Topic   string     `json:"topic,omitempty" doc:"of a report"`
	Seq     uint64     `json:"seq,omitempty" doc:"of a report: the forked place"`
	Records []api.Hash `json:"records,omitempty" doc:"of a report: the two records that claim the place"`
	Appeal  api.Hash   `json:"appeal,omitzero" doc:"of a pardon: the appeal that it answers"`
}

// ReportsOut is the output of security.reports.
type ReportsOut struct {
	Cases  []Case `json:"cases"`
	Cursor string `json:"cursor,omitempty" doc:"for the next page, which may be the empty rest; none at the end"`
}

func (a *App) reports(_ context.Context, _ *api.Call, in *ReportsIn) (*ReportsOut, error) {
	const op = "security.reports"
	_, r, s, err := a.open(op, in.Space)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	var after []byte
	if in.Cursor != "" {
		if after, err = base64.RawURLEncoding.DecodeString(in.Cursor); err != nil {
			return nil, api.Errorf(op, api.Invalid, "cursor %.40q: want one that security.reports gave", in.Cursor)
		}
	}
	limit := cmp.Or(in.Limit, defaultPage)
	prefix := indexCase(s.ID)
	out := &ReportsOut{Cases: []Case{}}
	var last []byte
	looked := 0
	for k, v := range r.Index(prefix, after, true) {
		if looked++; len(out.Cases) == limit || looked > maxLook {
			out.Cursor = base64.RawURLEncoding.EncodeToString(last)
			break
		}
		last = append(last[:0], k[len(prefix):]...)
		var e entry
		if codec.Unmarshal(v, &e) != nil || in.Subject != "" && e.Subject != in.Subject {
			continue
		}
		out.Cases = append(out.Cases, Case{
			Kind: e.Kind, ID: e.At, Time: clock(e.Time), By: e.By, Subject: e.Subject, Text: e.Text,
			Feed: e.Feed, Topic: e.Topic, Seq: e.Seq, Records: e.IDs, Appeal: e.Appeal,
		})
	}
	return out, nil
}
