package trust

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"strconv"
	"sync"
	"time"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/record"
)

const (
	// maxRows bounds one trust.import.
	maxRows = 5000
	// maxInFlight bounds the appends that wait at the same time; each waits for a group commit, so many share one.
	maxInFlight = 256
	// maxLabel bounds the seed and a person's label, in bytes.
	maxLabel = 64
	// importContext is the context of imported attestations.
	importContext = "import"
	// perRating is what one point of a rating from -10 to 10 is worth, in basis points.
	perRating = 1000
)

// Label names a person in a data set. In JSON it is text or a whole number.
type Label string

// UnmarshalJSON implements json.Unmarshaler.
func (l *Label) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '"' {
		return json.Unmarshal(b, (*string)(l))
	}
	n, err := strconv.ParseInt(string(b), 10, 64)
	if err != nil {
		return api.Errorf("trust.import", api.Invalid, "person %.20s: want text or a whole number", b)
	}
	*l = Label(strconv.FormatInt(n, 10))
	return nil
}

// Row is one rating of a data set.
type Row struct {
	Source Label `json:"source" doc:"who rates" example:"anna"`
	Target Label `json:"target" doc:"who is rated" example:"ben"`
	Rating int   `json:"rating,omitempty" doc:"-10 to 10; 0 revokes"`
	Time   int64 `json:"time,omitempty" doc:"Unix seconds"`
}

// ImportIn is the input of trust.import.
type ImportIn struct {
	Space api.Hash `json:"space,omitzero" doc:"the test space; default: the only one this node follows"`
	Seed  string   `json:"seed" doc:"from which the people's keys are made; the same seed and label is the same person" example:"test"`
	Rows  []Row    `json:"rows" doc:"at most 5000, in order of time"`
}

// Validate implements api.Validator.
func (in *ImportIn) Validate() error {
	bad := func(format string, args ...any) error {
		return api.Errorf("trust.import", api.Invalid, format, args...)
	}
	if in.Seed == "" || len(in.Seed) > maxLabel {
		return bad("seed of %d bytes: want 1 to %d", len(in.Seed), maxLabel)
	}
	if len(in.Rows) > maxRows {
		return api.Errorf("trust.import", api.TooLarge, "%d rows: at most %d in one call", len(in.Rows), maxRows)
	}
	for i, r := range in.Rows {
		switch {
		case r.Source == "" || len(r.Source) > maxLabel:
			return bad("rows[%d].source %.20q: want 1 to %d bytes", i, r.Source, maxLabel)
		case r.Target == "" || len(r.Target) > maxLabel:
			return bad("rows[%d].target %.20q: want 1 to %d bytes", i, r.Target, maxLabel)
		case r.Source == r.Target:
			return bad("rows[%d].target %.20q: is the source too; nobody rates themselves", i, r.Target)
		case r.Rating < -10 || r.Rating > 10:
			return bad("rows[%d].rating %d: want -10 to 10", i, r.Rating)
		case r.Time < 0:
			return bad("rows[%d].time %d: want Unix seconds from 0", i, r.Time)
		}
	}
	return nil
}

// ImportOut is the output of trust.import.
type ImportOut struct {
	Accepted int `json:"accepted" doc:"rows that became records"`
	Skipped  int `json:"skipped" doc:"rows that had been imported before"`
	People   int `json:"people" doc:"different people in these rows"`
}

// importRows makes each row a record by its source, on the ordinary road. Rows of one source keep their order; sources do not wait for each other.
// Importing again what has been imported, all or in part, writes nothing twice; so after an error the caller repeats the call.
func (a *App) importRows(ctx context.Context, call *api.Call, in *ImportIn) (*ImportOut, error) {
	s, err := a.followed(in.Space)
	if err != nil {
		return nil, err
	}
	id := s.topic.Space
	if !a.spaces.Test(id) {
		return nil, api.Refusal("trust.import", &api.Reason{
			Domain: Domain, Rule: "not-a-test-space", Text: "Made-up people are imported into test spaces only.",
			Inputs: map[string]string{"space": id.String()},
			Remedy: "create a space with test set and import there",
		})
	}
	genesis, ok := a.spaces.Genesis(id)
	if !ok {
		return nil, api.Errorf("trust.import", api.Unavailable, "the space's genesis is not here yet")
	}

	jobs, everybody := map[Label][]int{}, map[Label]bool{}
	var sources []Label
	for i, r := range in.Rows {
		if jobs[r.Source] == nil {
			sources = append(sources, r.Source)
		}
		jobs[r.Source] = append(jobs[r.Source], i)
		everybody[r.Source], everybody[r.Target] = true, true
	}

	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	out := &ImportOut{People: len(everybody)}
	var mu sync.Mutex // guards out
	queue := make(chan Label)
	var workers sync.WaitGroup
	for range min(maxInFlight, len(sources)) {
		workers.Go(func() {
			for source := range queue {
				for _, i := range jobs[source] {
					repeated, err := a.importRow(ctx, s, in.Seed, &in.Rows[i], genesis, call.Wait)
					if err != nil {
						cancel(api.Errorf("trust.import", api.KindOf(err), "rows[%d]: %w", i, err))
						break
					}
					mu.Lock()
					if repeated {
						out.Skipped++
					} else {
						out.Accepted++
					}
					mu.Unlock()
				}
			}
		})
	}
	for _, source := range sources {
		queue <- source // never for long: after an error each worker only drains
	}
	close(queue)
	workers.Wait()
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	return out, nil
}

func (a *App) importRow(ctx context.Context, s *space, seed string, r *Row, genesis api.Position, wait api.Wait) (repeated bool, err error) {
	if err := context.Cause(ctx); err != nil {
		return false, err
	}
	who, err := a.people.get(seed, r.Source)
	if err != nil {
		return false, err
	}
	whom, err := a.people.get(seed, r.Target)
	if err != nil {
		return false, err
	}
	draft, err := a.draft(s, &Attestation{To: whom.did, Score: int16(r.Rating * perRating), Context: importContext, At: r.Time})
	if err != nil {
		return false, err
	}
	if !a.started(s, who.device) {
		draft.Deps = []api.Position{genesis}
	}
	draft.Idempotency = r.name(seed)
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, 2*time.Second) {
		receipt, err := a.host.Append(ctx, who, draft, wait)
		if kind := api.KindOf(err); err == nil || kind != api.RateLimited {
			return receipt.Repeated, err
		}
		// The road asks to come back later: only this source waits.
		select {
		case <-ctx.Done():
			return false, context.Cause(ctx)
		case <-time.After(pause):
		}
	}
}

// name is the row's idempotency key: 64 digits.
func (r *Row) name(seed string) string {
	h := digest("row", seed, string(r.Source), string(r.Target), strconv.FormatInt(r.Time, 10), strconv.Itoa(r.Rating))
	return hex.EncodeToString(h[:])
}

// digest hashes texts so that no two lists of texts give the same input, apart from everything else that is hashed.
func digest(what string, texts ...string) [32]byte {
	b := []byte("icn-trust-import\x00" + what)
	for _, t := range texts {
		b = append(binary.BigEndian.AppendUint32(b, uint32(len(t))), t...)
	}
	return sha256.Sum256(b)
}

// madeUp is a person of a test space. Whoever knows the seed has the keys.
type madeUp struct {
	did    api.DID
	device api.Key
	key    ed25519.PrivateKey // the device's
	auth   []byte
}

var _ api.Signer = (*madeUp)(nil)

func (p *madeUp) DID() api.DID                        { return p.did }
func (p *madeUp) Device() api.Key                     { return p.device }
func (p *madeUp) Auth() []byte                        { return p.auth }
func (p *madeUp) Sign(message []byte) ([]byte, error) { return ed25519.Sign(p.key, message), nil }

func makeUp(seed string, label Label) (*madeUp, error) {
	rootSeed, deviceSeed := digest("root", seed, string(label)), digest("device", seed, string(label))
	root, key := ed25519.NewKeyFromSeed(rootSeed[:]), ed25519.NewKeyFromSeed(deviceSeed[:])
	device := api.Key(key.Public().(ed25519.PublicKey))
	auth, err := record.SignKeyEvent(root, device)
	if err != nil {
		return nil, api.Wrap("trust.import", err)
	}
	return &madeUp{did: record.DIDOf(api.Key(root.Public().(ed25519.PublicKey))), device: device, key: key, auth: auth}, nil
}

// people remembers made-up people between calls: at most maxPeople, about 0.5 KiB each. The zero value is usable.
type people struct {
	mu sync.Mutex
	m  map[[2]string]*madeUp
}

const maxPeople = 16384

func (p *people) get(seed string, label Label) (*madeUp, error) {
	k := [2]string{seed, string(label)}
	p.mu.Lock()
	known := p.m[k]
	p.mu.Unlock()
	if known != nil {
		return known, nil
	}
	made, err := makeUp(seed, label)
	if err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.m == nil || len(p.m) >= maxPeople {
		p.m = map[[2]string]*madeUp{}
	}
	p.m[k] = made
	return made, nil
}
