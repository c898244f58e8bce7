package gateway

import (
	"bytes"
	"encoding/json"
	"testing"
)

// Members of an object are those that encoding/json reads.
func FuzzEachMember(f *testing.F) {
	for _, s := range []string{`{}`, ` { } `, `{"a":1}`, `{"a":"}\"","b":[{"c":","},[]],"d":{"e":{}},"f":-1.5e3 , "\u0061" : null}`, `{"a\\":"\\"}`, `{"":true}`, `{"a":1,"a":2}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if !json.Valid(b) || bytes.TrimLeft(b, blank)[0] != '{' {
			return
		}
		dec := json.NewDecoder(bytes.NewReader(b))
		if _, err := dec.Token(); err != nil {
			t.Fatal(err)
		}
		n := 0
		err := eachMember(b, func(quoted, value []byte) error {
			n++
			want, err := dec.Token()
			if err != nil {
				t.Fatalf("member %d: %v", n, err)
			}
			var name string
			if err := json.Unmarshal(quoted, &name); err != nil || name != want {
				t.Fatalf("member %d: name %s, want %v, %v", n, quoted, want, err)
			}
			var raw json.RawMessage
			if err := dec.Decode(&raw); err != nil || !bytes.Equal(raw, value) {
				t.Fatalf("member %d: value %q, want %q, %v", n, value, raw, err)
			}
			return nil
		})
		if err != nil || dec.More() {
			t.Fatalf("%v after %d members, more: %t", err, n, dec.More())
		}
	})
}
