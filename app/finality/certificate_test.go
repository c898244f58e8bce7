package finality

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/kerneltest"
	"github.com/intercooperative/icn/kernel/record"
)

// claim is what a certificate is made of, for a test to make one that is wrong.
type claim struct {
	t         *testing.T
	space     api.Hash
	old, new  []api.Signer // of whom 2 and 3 are needed
	epoch     epoch
	sealers   []api.Signer
	checkers  []api.Signer
	check     check
	cites     api.Position // by the checks, if not the checkpoint
	sealed    api.Position // by the seals, if not the record that names the epoch
	payment   *record.Envelope
	line      []*record.Envelope
	marks     []mark
	epochs    []uint64 // of the marks
	witnesses []api.Hash
	final     api.Position
	shown     func(*certificate)
}

func signers(names ...string) (out []api.Signer) {
	for _, n := range names {
		out = append(out, kerneltest.Signer(n))
	}
	slices.SortFunc(out, func(a, b api.Signer) int {
		x, y := a.Device(), b.Device()
		return bytes.Compare(x[:], y[:])
	})
	return out
}

func newClaim(t *testing.T) *claim {
	c := &claim{t: t, space: api.Hash{7}, old: signers("a", "b", "c"), new: signers("b", "c", "d", "e")}
	var keys []api.Key
	for _, s := range c.new {
		keys = append(keys, s.Device())
	}
	c.epoch = *newEpoch(1, keys, 3, 1)
	c.sealers, c.checkers = c.old[:2], c.new[:3]
	c.check = check{Number: 4}
	c.payment = c.make("payer", fact.LedgerTopic, "transfer", nil, []byte("1"))
	next := c.make("payer", fact.LedgerTopic, "transfer", c.payment, []byte("2"))
	c.line, c.final = []*record.Envelope{next}, c.payment.Position()
	at := func(e *record.Envelope) mark { return mark{Seq: e.Seq, ID: e.ID, Accepted: true, Need: 3} }
	c.marks, c.epochs = []mark{at(c.payment), at(next), at(next)}, []uint64{1, 1, 1}
	c.witnesses = []api.Hash{{1}, {2}, {3}}
	return c
}

func (c *claim) make(who, topic, kind string, after *record.Envelope, body []byte, deps ...api.Position) *record.Envelope {
	return c.sign(kerneltest.Signer(who), topic, kind, after, body, deps...)
}

func (c *claim) sign(s api.Signer, topic, kind string, after *record.Envelope, body []byte, deps ...api.Position) *record.Envelope {
	c.t.Helper()
	r := &api.Record{Version: 1, Topic: api.Topic{Space: c.space, Name: topic}, Device: s.Device(), Seq: 1, Time: 1, Kind: kind, Body: body, Deps: fact.Deps(deps), Auth: s.Auth()}
	if after != nil {
		r.Seq, r.Prev, r.Auth = after.Seq+1, after.ID, nil
	}
	e, err := record.Sign(r, s)
	if err != nil {
		c.t.Fatal(err)
	}
	return e
}

// verify makes the certificate and has it verified.
func (c *claim) verify() (*fact.Attested, error) {
	named := c.make("registrar", fact.CutTopic, kindEpoch, nil, codec.MustMarshal(&c.epoch))
	if c.sealed.IsZero() {
		c.sealed = named.Position()
	}
	out := &certificate{Turns: []passage{{Epoch: named.Raw}}}
	for _, s := range c.sealers {
		out.Turns[0].Seals = append(out.Turns[0].Seals, c.sign(s, fact.FinalityTopic, kindSeal, nil, codec.MustMarshal(&turn{Number: 1}), c.sealed).Raw)
	}
	proofs, digest := c.state()
	cp := &checkpoint{Number: 4, By: []fact.Cause{{Feed: api.Hash{1}, Seq: 1, ID: api.Hash{1}}}, Records: 9, Apps: []appDigest{{App: "finality", Digest: digest}}}
	cp.Digest = api.AllDigest([]api.StateDigest{{App: "finality", Digest: digest}})
	said := c.make("registrar", fact.CutTopic, kindCheckpoint, nil, codec.MustMarshal(cp))
	out.Checkpoint = said.Raw
	if c.cites.IsZero() {
		c.cites = said.Position()
	}
	if c.check.Digest.IsZero() {
		c.check.Digest = cp.Digest
	}
	for _, s := range c.checkers {
		out.Checks = append(out.Checks, c.sign(s, fact.FinalityTopic, kindCheck, nil, codec.MustMarshal(&c.check), c.cites).Raw)
	}
	for _, e := range c.line {
		out.Line = append(out.Line, e.Raw)
	}
	for i, p := range proofs {
		out.Marks = append(out.Marks, marked{Witness: c.witnesses[i], Epoch: c.epochs[i], Seq: 5, Mark: p.Value, Place: p.Place, Rows: p.Rows, Path: p.Path})
	}
	if c.shown != nil {
		c.shown(out)
	}
	g := &fact.Genesis{Threshold: 2, Faulty: 0}
	for _, s := range c.old {
		g.Witnesses = append(g.Witnesses, s.Device())
	}
	return VerifyCertificate(c.space, g, codec.MustMarshal(out), c.final)
}

// state is one in which there are the marks and nothing else: a leaf each, joined from the left.
func (c *claim) state() (proofs []api.RowProof, digest api.Hash) {
	var leaves []api.Hash
	for i := range c.marks {
		p := api.RowProof{StateRow: markRow(c.witnesses[i], c.payment.Feed, c.epochs[i]), Value: codec.MustMarshal(&c.marks[i]), Place: uint64(i), Rows: uint64(len(c.marks))}
		leaves = append(leaves, api.StateLeaf(api.FeedRow, p.Feed[:], api.PutName(p.Key), api.Seq8(5), p.Value))
		proofs = append(proofs, p)
	}
	switch len(leaves) {
	case 2:
		proofs[0].Path, proofs[1].Path = []api.Hash{leaves[1]}, []api.Hash{leaves[0]}
		return proofs, api.AppDigest(2, api.StateNode(leaves[0], leaves[1]))
	case 3:
		first := api.StateNode(leaves[0], leaves[1])
		proofs[0].Path, proofs[1].Path, proofs[2].Path = []api.Hash{leaves[1], leaves[2]}, []api.Hash{leaves[0], leaves[2]}, []api.Hash{first}
		return proofs, api.AppDigest(3, api.StateNode(first, leaves[2]))
	}
	return nil, api.AppDigest(0, api.Hash{})
}

func TestCertificate(t *testing.T) {
	got, err := newClaim(t).verify()
	if err != nil || got.Number != 4 || got.Records != 9 || len(got.Signed) != 3 || got.Of != 4 {
		t.Fatalf("%+v, %v", got, err)
	}
	c := newClaim(t) // of a state alone
	c.marks, c.line, c.final = nil, nil, api.Position{}
	if _, err := c.verify(); err != nil {
		t.Error(err)
	}
}

// Everything that is well signed and says too little, or something else, is refused with what is wrong.
func TestCertificateRefusals(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(c *claim)
		want   string
	}{
		"too few checks":                  {func(c *claim) { c.checkers = c.checkers[:2] }, "want 3"},
		"more checks than needed":         {func(c *claim) { c.checkers = c.new }, "want 3"},
		"a check by nobody":               {func(c *claim) { c.checkers = signers("b", "c", "x") }, "is no witness"},
		"a check by who was a witness":    {func(c *claim) { c.checkers = signers("a", "b", "c") }, "is no witness"},
		"one witness twice":               {func(c *claim) { c.checkers = []api.Signer{c.new[0], c.new[0], c.new[1]} }, "ascending"},
		"checks of another checkpoint":    {func(c *claim) { c.cites = api.Position{Feed: api.Hash{9}, Seq: 1, ID: api.Hash{9}} }, "does not cite"},
		"checks of another number":        {func(c *claim) { c.check.Number = 3 }, "checkpoint 3"},
		"checks that found another state": {func(c *claim) { c.check.Digest = api.Hash{9} }, "it has found"},
		"too few seals":                   {func(c *claim) { c.sealers = c.sealers[:1] }, "want 2"},
		"a seal by nobody":                {func(c *claim) { c.sealers = signers("a", "x") }, "is no witness"},
		"seals for another record":        {func(c *claim) { c.sealed = api.Position{Feed: api.Hash{9}, Seq: 1, ID: api.Hash{9}} }, "does not cite"},
		"another epoch":                   {func(c *claim) { c.epoch.Number = 2 }, "epoch 2"},
		"too few marks":                   {func(c *claim) { c.marks, c.witnesses, c.epochs = c.marks[:2], c.witnesses[:2], c.epochs[:2] }, "want 3"},
		"no marks":                        {func(c *claim) { c.marks, c.line = nil, nil }, "want 1"},
		"a witness marks twice":           {func(c *claim) { c.witnesses[1] = c.witnesses[0] }, "ascending order of witness"},
		"marks of two epochs":             {func(c *claim) { c.epochs[2] = 2 }, "another epoch or cut"},
		"marks of two cuts":               {func(c *claim) { c.marks[2].Cut = 1 }, "another epoch or cut"},
		"marks of two needs":              {func(c *claim) { c.marks[2].Need = 2 }, "another epoch or cut"},
		"a mark of another branch":        {func(c *claim) { c.marks[1].ID = api.Hash{9} }, "names another record"},
		"a mark before the payment":       {func(c *claim) { c.final = c.line[0].Position(); c.line = nil }, "names another record"},
		"a line that is longer": {func(c *claim) {
			c.line = append(c.line, c.make("payer", fact.LedgerTopic, "transfer", c.line[0], []byte("3")))
		}, "beyond"},
		"a line of another feed": {func(c *claim) { c.line[0] = c.make("other", fact.LedgerTopic, "transfer", c.payment, []byte("2")) }, "does not follow"},
		"a line with a gap": {func(c *claim) {
			c.line = []*record.Envelope{c.make("payer", fact.LedgerTopic, "transfer", c.line[0], []byte("3"))}
		}, "does not follow"},
		"another payment":             {func(c *claim) { c.final.ID[0]++ }, "does not follow"},
		"marks for nothing":           {func(c *claim) { c.final = api.Position{} }, "nothing is to be final"},
		"a mark that is in no state":  {func(c *claim) { c.shown = func(o *certificate) { o.Marks[0].Epoch = 0 } }, "not in the state"},
		"another space":               {func(c *claim) { c.shown = func(*certificate) { c.space = api.Hash{8} } }, "topic"},
		"a record of another kind":    {func(c *claim) { c.shown = func(o *certificate) { o.Checks[0] = o.Turns[0].Seals[0] } }, "of kind"},
		"a digest of other apps":      {func(c *claim) { c.shown = func(o *certificate) { o.Checkpoint = otherDigest(c) } }, "digest"},
		"somebody else's signature":   {func(c *claim) { c.shown = func(o *certificate) { o.Checks[1] = flipLast(o.Checks[1]) } }, "did not sign"},
		"a line that nobody signed":   {func(c *claim) { c.shown = func(o *certificate) { o.Line[0] = flipLast(o.Line[0]) } }, "did not sign"},
		"nothing that is an encoding": {func(c *claim) { c.shown = func(o *certificate) { o.Checkpoint = nil } }, "checkpoint"},
	} {
		t.Run(name, func(t *testing.T) {
			c := newClaim(t)
			tc.change(c)
			got, err := c.verify()
			if api.KindOf(err) != api.Invalid || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("%+v, %v; want %q", got, err, tc.want)
			}
		})
	}
}

func flipLast(b []byte) []byte {
	b = bytes.Clone(b)
	b[len(b)-1] ^= 1
	return b
}

func otherDigest(c *claim) []byte {
	return c.make("registrar", fact.CutTopic, kindCheckpoint, nil, codec.MustMarshal(&checkpoint{
		Number: 4, By: []fact.Cause{{Feed: api.Hash{1}, Seq: 1, ID: api.Hash{1}}}, Apps: []appDigest{{App: "finality", Digest: api.Hash{3}}}, Digest: api.Hash{4},
	})).Raw
}
