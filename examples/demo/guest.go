package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/intercooperative/icn/client"
	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/identity"
	"github.com/intercooperative/icn/kernel/record"
)

// kindsFile is how records read: the guest's own copy, since what the node says of a record is what is to be checked.
const kindsFile = "docs/kinds.json"

// guest is somebody without a node: a key, and the address of a gateway. The key signs here and nowhere else.
type guest struct {
	name    string
	signer  api.Signer
	gateway string // http://host:port
	kinds   record.Kinds
	token   string
}

func newGuest(name, gateway string) (*guest, error) {
	id, err := identity.Generate(rand.Reader)
	if err != nil {
		return nil, err
	}
	raw, err := os.ReadFile(kindsFile)
	if err != nil {
		return nil, err
	}
	var own client.RecordKindsOut
	if err := json.Unmarshal(raw, &own); err != nil {
		return nil, fmt.Errorf("%s: %w", kindsFile, err)
	}
	return &guest{name: name, signer: id.Signer(), gateway: gateway, kinds: record.NewKinds(own.Kinds)}, nil
}

// login proves that the guest's device asks. What it signs for that has to be a login, here, of this device.
func (g *guest) login(ctx context.Context, scopes ...string) error {
	c, err := send[client.AuthChallengeOut](ctx, g, "auth/challenge", &client.AuthChallengeIn{DID: g.signer.DID(), Device: g.signer.Device()})
	if err != nil {
		return err
	}
	device := g.signer.Device()
	fits := bytes.HasPrefix(c.Message, []byte("\x87\x6bICN/1/login")) // an array of seven that begins with this text
	for _, part := range [][]byte{[]byte(g.gateway), []byte(g.signer.DID()), device[:]} {
		fits = fits && bytes.Contains(c.Message, part)
	}
	if !fits {
		return fmt.Errorf("not signed: %q is no login of %s at %s", c.Message, g.name, g.gateway)
	}
	signature, err := g.signer.Sign(c.Message)
	if err != nil {
		return err
	}
	t, err := send[client.AuthVerifyOut](ctx, g, "auth/verify", &client.AuthVerifyIn{
		DID: g.signer.DID(), Device: device, Auth: g.signer.Auth(), Challenge: c.Challenge, Signature: signature, Scopes: scopes, Label: "demo",
	})
	if err == nil {
		g.token = t.AccessToken
	}
	return err
}

// write has the node prepare an operation's record, signs it if it says the one sentence that it is to say, and hands it in.
func (g *guest) write(ctx context.Context, space api.Hash, operation string, input any, sentence string) (*api.Receipt, error) {
	raw, err := json.Marshal(input)
	if err != nil {
		return nil, err
	}
	p, err := send[client.RecordPrepareOut](ctx, g, "records/prepare", &client.RecordPrepareIn{Operation: operation, Input: raw, Auth: g.signer.Auth()})
	if err != nil {
		return nil, err
	}
	r, err := record.Parse(p.Bytes)
	if err != nil {
		return nil, err
	}
	if says := g.kinds.Describe(r); !says.Known || says.Text != sentence || r.Topic.Space != space || r.Device != g.signer.Device() {
		return nil, fmt.Errorf("not signed: the node asked for %q in space %s, not %q", says.Text, r.Topic.Space, sentence)
	}
	signature, err := g.signer.Sign(p.Bytes)
	if err != nil {
		return nil, err
	}
	envelope, err := record.Seal(r, p.Bytes, signature)
	if err != nil {
		return nil, err
	}
	out, err := send[client.RecordSubmitOut](ctx, g, "records/submit", &client.RecordSubmitIn{
		Records: []string{base64.StdEncoding.EncodeToString(envelope.Raw)}, Idempotency: p.Idempotency,
	})
	if err != nil || len(out.Results) != 1 || out.Results[0].Receipt == nil {
		return nil, cmp.Or(err, fmt.Errorf("the node did not take the record: %+v", out))
	}
	return out.Results[0].Receipt, nil
}

// problem is an error as the gateway tells it (RFC 9457).
type problem struct {
	Detail string      `json:"detail"`
	Reason *api.Reason `json:"reason"`
}

func (p *problem) Error() string { return p.Detail }

// refusedBy reports whether a rule is why something was refused.
func refusedBy(err error, rule string) bool {
	var p *problem
	return errors.As(err, &p) && p.Reason != nil && p.Reason.Rule == rule
}

// send posts one request to the guest's gateway.
func send[Out any](ctx context.Context, g *guest, path string, in any) (*Out, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	raw, err := json.Marshal(in)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, g.gateway+"/api/v1/"+path, bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	if g.token != "" {
		req.Header.Set("Authorization", "Bearer "+g.token)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		return nil, err
	}
	if res.StatusCode != http.StatusOK {
		p := &problem{Detail: strings.TrimSpace(string(body))}
		_ = json.Unmarshal(body, p) // what is no problem document is told as it is
		return nil, fmt.Errorf("%s: %s: %w", path, res.Status, p)
	}
	out := new(Out)
	if err := json.Unmarshal(body, out); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return out, nil
}
