package finality

import (
	"context"
	"slices"
	"time"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
)

// CheckpointCreateIn is the input of space.checkpoint.create.
type CheckpointCreateIn struct {
	Space api.Hash `json:"space,omitzero" doc:"Id of the space; default: the only one this node follows"`
}

// CheckpointCreateOut is the output of space.checkpoint.create: what the witnesses have to find, too. space.checkpoint.show tells who has.
type CheckpointCreateOut struct {
	Number  uint64      `json:"number"`
	Records uint64      `json:"records" doc:"that the checkpoint covers"`
	Digest  api.Hash    `json:"digest" doc:"of the state to which they come"`
	Receipt api.Receipt `json:"receipt"`
}

// createCheckpoint names as the view all that the witnesses have said as far as it is here. So all of it that counts is final here.
func (a *App) createCheckpoint(ctx context.Context, call *api.Call, in *CheckpointCreateIn) (*CheckpointCreateOut, error) {
	const op = "space.checkpoint.create"
	signer, err := call.SignerFor(op)
	if err != nil {
		return nil, err
	}
	host, space, err := a.at(op, in.Space)
	if err != nil {
		return nil, err
	}
	c, err := viewNow(op, host, signer, space)
	if err != nil {
		return nil, err
	}
	sec, err := fold(ctx, op, host, space, c)
	if err != nil {
		return nil, err
	}
	c.Records, c.Digest, c.Apps = sec.Records, sec.Digest, digests(sec)
	a.cutting.Lock() // before reading: the number must be the newest
	defer a.cutting.Unlock()
	r := host.Read()
	defer r.Close()
	s, err := asRegistrar(op, r, signer, space, "writes checkpoints")
	if err != nil {
		return nil, err
	}
	b, _, ok := r.Own(s.Cutter(), rowLast)
	c.Number = fact.Number(b, ok) + 1
	if err := c.check(); err != nil {
		return nil, api.Errorf(op, api.Invalid, "%w", err)
	}
	var deps []api.Position
	if _, _, known := r.Own(s.Cutter(), rowRegistrar); !known {
		deps = append(deps, s.Founded)
	}
	deps = append(deps, s.Entries(fact.CutTopic)...)
	d := api.Draft{Topic: api.Topic{Space: space, Name: fact.CutTopic}, Deps: fact.Deps(deps), Kind: kindCheckpoint, Body: codec.MustMarshal(c)}
	out := &CheckpointCreateOut{Number: c.Number, Records: c.Records, Digest: c.Digest}
	out.Receipt, err = host.Append(ctx, signer, d, call.Wait)
	return out, api.Wrap(op, err)
}

// viewNow is a checkpoint without its digest: up to where the witnesses have spoken, those of the newest epochs if they are too many.
func viewNow(op string, host api.Host, signer api.Signer, space api.Hash) (*checkpoint, error) {
	r := host.Read()
	defer r.Close()
	s, err := asRegistrar(op, r, signer, space, "writes checkpoints")
	if err != nil {
		return nil, err
	}
	var ps []api.Position
	for _, feeds := range s.Epochs() {
		for _, w := range feeds {
			if p, ok := r.Head(w); ok {
				ps = append(ps, p)
			}
		}
	}
	slices.Reverse(ps)
	var newest []api.Position
	for _, p := range ps {
		if len(newest) < maxBy && !slices.Contains(newest, p) {
			newest = append(newest, p)
		}
	}
	c := &checkpoint{}
	for _, p := range fact.Deps(newest) {
		c.By = append(c.By, fact.Cause{Feed: p.Feed, Seq: p.Seq, ID: p.ID})
	}
	if len(c.By) == 0 {
		return nil, api.Errorf(op, api.Conflict, "no witness has said anything here yet: nothing is final")
	}
	return c, nil
}

// fold folds what a checkpoint covers, from this node's records.
func fold(ctx context.Context, op string, host api.Host, space api.Hash, c *checkpoint) (*api.Section, error) {
	folder, ok := host.(api.SectionHost)
	if !ok {
		return nil, api.Errorf(op, api.Unsupported, "this node cannot fold records beside its state")
	}
	sec, err := folder.FoldSection(ctx, space, c.by())
	if err != nil {
		return nil, api.Wrap(op, err)
	}
	if len(sec.Open) > 0 {
		return nil, api.Errorf(op, api.Unavailable, "position %v is final for the witnesses and not on this node yet: try again when it has caught up", sec.Open[0])
	}
	return sec, nil
}

// CheckpointListIn is the input of space.checkpoint.list.
type CheckpointListIn struct {
	Space  api.Hash `json:"space,omitzero" doc:"Id of the space; default: the only one this node follows"`
	Before uint64   `json:"before,omitempty" doc:"Only those with a lower number; default: from the newest on"`
}

// CheckpointListOut is the output of space.checkpoint.list: at most 100.
type CheckpointListOut struct {
	Checkpoints []CheckpointOut `json:"checkpoints"`
	More        bool            `json:"more,omitempty" doc:"there are older ones"`
}

const maxCheckpoints = 100

// CheckpointOut is a checkpoint.
type CheckpointOut struct {
	Number  uint64       `json:"number"`
	Record  api.Position `json:"record" doc:"that proposes it"`
	Time    time.Time    `json:"time"`
	Records uint64       `json:"records" doc:"that it covers"`
	Digest  api.Hash     `json:"digest" doc:"of the state to which they come"`
	Stands  bool         `json:"stands" doc:"enough witnesses have found the same"`
	Signed  int          `json:"signed" doc:"witnesses who have"`
	Need    int          `json:"need" doc:"how many are enough"`
	Differ  int          `json:"differ,omitempty" doc:"witnesses who have found another state"`
}

// CheckpointIn is the input of space.checkpoint.show and space.checkpoint.verify.
type CheckpointIn struct {
	Space  api.Hash `json:"space,omitzero" doc:"Id of the space; default: the only one this node follows"`
	Number uint64   `json:"number,omitempty" doc:"Of the checkpoint; default: the newest that stands, or the newest if none does"`
}

// CheckpointShowOut is the output of space.checkpoint.show.
type CheckpointShowOut struct {
	CheckpointOut
	Apps   []AppDigestOut `json:"apps"`
	By     []api.Position `json:"by" doc:"up to where what witnesses have stated makes the records final"`
	Checks []CheckOut     `json:"checks"`
}

// AppDigestOut is the digest of one app's state.
type AppDigestOut struct {
	App    string   `json:"app"`
	Digest api.Hash `json:"digest"`
}

// CheckOut is what one witness has found.
type CheckOut struct {
	Device api.Key      `json:"device"`
	Epoch  uint64       `json:"epoch"`
	Record api.Position `json:"record"`
	Same   bool         `json:"same"`
	Digest api.Hash     `json:"digest"`
	Apps   []string     `json:"apps,omitempty" doc:"whose state is another"`
}

// CheckpointVerifyOut is the output of space.checkpoint.verify.
type CheckpointVerifyOut struct {
	CheckpointOut
	OK     bool     `json:"ok" doc:"this node's records come to the state that the checkpoint says"`
	Here   api.Hash `json:"here" doc:"digest of the state to which they come"`
	Apps   []string `json:"apps,omitempty" doc:"whose state is another, in order of name"`
	TookMS int64    `json:"took_ms"`
}

func (a *App) listCheckpoints(_ context.Context, _ *api.Call, in *CheckpointListIn) (*CheckpointListOut, error) {
	host, space, err := a.at("space.checkpoint.list", in.Space)
	if err != nil {
		return nil, err
	}
	r := host.Read()
	defer r.Close()
	out := &CheckpointListOut{Checkpoints: []CheckpointOut{}}
	s, ok := fact.Open(r, space)
	if !ok {
		return out, nil
	}
	newest, _, ok := newestCheckpoint(r, s)
	if !ok {
		return out, nil
	}
	n := newest.Number
	if in.Before > 0 {
		n = min(n, in.Before-1)
	}
	for ; n > 0; n-- {
		if out.More = len(out.Checkpoints) == maxCheckpoints; out.More {
			break
		}
		if c, at, ok := checkpointAt(r, s, n); ok {
			out.Checkpoints = append(out.Checkpoints, describe(r, s, c, at, words(r, s, at)))
		}
	}
	return out, nil
}

func describe(r api.Reader, s *fact.Space, c *checkpoint, at api.Position, ws []word) CheckpointOut {
	o := CheckpointOut{Number: c.Number, Record: at, Records: c.Records, Digest: c.Digest}
	if rec, _, ok := r.Record(at); ok {
		o.Time = rec.Time.Time()
	}
	if o.Signed, o.Need, o.Stands = c.standing(ws); o.Need == 0 {
		o.Need = s.Need()
	}
	for _, w := range ws {
		if w.Digest != c.Digest {
			o.Differ++
		}
	}
	return o
}

// pick finds a checkpoint by its number, or with 0 the newest that stands, or else the newest.
func pick(op string, r api.Reader, space api.Hash, number uint64) (*fact.Space, *checkpoint, api.Position, error) {
	s, ok := fact.Open(r, space)
	if !ok {
		return nil, nil, api.Position{}, api.Errorf(op, api.NotFound, "space %s: its genesis is not on this node (yet)", space)
	}
	newest, at, ok := newestCheckpoint(r, s)
	if !ok {
		return nil, nil, at, api.Errorf(op, api.NotFound, "no checkpoint of this space is here: its registrar makes one with `icnctl space checkpoint create`")
	}
	if number > 0 {
		c, at, ok := checkpointAt(r, s, number)
		if !ok {
			return nil, nil, at, api.Errorf(op, api.NotFound, "number %d: there is no such checkpoint here, the newest is %d", number, newest.Number)
		}
		return s, c, at, nil
	}
	for n := newest.Number; n > 0; n-- {
		if c, at, ok := checkpointAt(r, s, n); ok {
			if _, _, stands := c.standing(words(r, s, at)); stands {
				return s, c, at, nil
			}
		}
	}
	return s, newest, at, nil
}

func (a *App) showCheckpoint(_ context.Context, _ *api.Call, in *CheckpointIn) (*CheckpointShowOut, error) {
	const op = "space.checkpoint.show"
	host, space, err := a.at(op, in.Space)
	if err != nil {
		return nil, err
	}
	r := host.Read()
	defer r.Close()
	s, c, at, err := pick(op, r, space, in.Number)
	if err != nil {
		return nil, err
	}
	ws := words(r, s, at)
	out := &CheckpointShowOut{CheckpointOut: describe(r, s, c, at, ws), By: c.by(), Checks: []CheckOut{}}
	for _, d := range c.Apps {
		out.Apps = append(out.Apps, AppDigestOut{App: d.App, Digest: d.Digest})
	}
	for _, w := range ws {
		k := CheckOut{Device: w.device, Epoch: w.Epoch, Record: w.at, Same: w.Digest == c.Digest, Digest: w.Digest}
		if !k.Same {
			k.Apps = c.differing(w.Apps)
		}
		out.Checks = append(out.Checks, k)
	}
	return out, nil
}

func (a *App) verifyCheckpoint(ctx context.Context, _ *api.Call, in *CheckpointIn) (*CheckpointVerifyOut, error) {
	const op = "space.checkpoint.verify"
	host, space, err := a.at(op, in.Space)
	if err != nil {
		return nil, err
	}
	start := host.Now()
	r := host.Read()
	defer r.Close()
	s, c, at, err := pick(op, r, space, in.Number)
	if err != nil {
		return nil, err
	}
	sec, err := fold(ctx, op, host, space, c)
	if err != nil {
		return nil, err
	}
	out := &CheckpointVerifyOut{
		CheckpointOut: describe(r, s, c, at, words(r, s, at)), OK: sec.Digest == c.Digest, Here: sec.Digest, TookMS: host.Now().Sub(start).Milliseconds(),
	}
	if !out.OK {
		out.Apps = c.differing(digests(sec))
	}
	return out, nil
}
