package main

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/intercooperative/icn/kernel/api"
	"github.com/intercooperative/icn/kernel/record"
)

// A gateway that asks for a signature under something else gets none.
func TestGuestSignsWhatItHasRead(t *testing.T) {
	answers := map[string]string{}
	gateway := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer, ok := answers[strings.TrimPrefix(r.URL.Path, "/api/v1/")]
		if !ok {
			t.Errorf("%s was asked: something was signed", r.URL.Path)
		}
		fmt.Fprint(w, answer)
	}))
	defer gateway.Close()
	t.Chdir("../..") // where the demo runs
	g, err := newGuest("Dora", gateway.URL)
	if err != nil {
		t.Fatal(err)
	}
	device := g.signer.Device()

	message := "\x87\x6bICN/1/login" + gateway.URL + string(g.signer.DID()) + string(device[:])
	for _, m := range []string{"", "\x86" + message[1:], strings.Replace(message, gateway.URL, "https://elsewhere.example", 1), message[:len(message)-1]} {
		answers["auth/challenge"] = fmt.Sprintf(`{"message":%q}`, base64.StdEncoding.EncodeToString([]byte(m)))
		if err := g.login(t.Context()); err == nil || !strings.Contains(err.Error(), "not signed") {
			t.Errorf("login by %q: %v", m, err)
		}
	}

	here := api.Hash{1}
	for _, space := range []api.Hash{here, {2}} {
		r := &api.Record{
			Version: record.Version, Topic: api.Topic{Space: space, Name: "ledger"}, Device: device, Seq: 1, Kind: "ack", Auth: g.signer.Auth(), Body: []byte{0x80},
		}
		unsigned, err := record.Unsigned(r)
		if err != nil {
			t.Fatal(err)
		}
		answers["records/prepare"] = fmt.Sprintf(`{"bytes":%q}`, base64.StdEncoding.EncodeToString(unsigned))
		sentence := "Acknowledge what has been paid to this account."
		if space == here {
			sentence = "Pay 1 minor units of hours."
		}
		if _, err := g.write(t.Context(), here, "ledger.transfer", nil, sentence); err == nil || !strings.Contains(err.Error(), "not signed") {
			t.Errorf("record in %s: %v", space, err)
		}
	}
}
