package rpc

import (
	"bytes"
	"encoding/json"

	"github.com/intercooperative/icn/client/jsonrpc"
	"github.com/intercooperative/icn/kernel/api"
)

// unwrap takes the reserved members out of params into call and returns the operation's input.
func unwrap(params json.RawMessage, op *api.Operation, call *api.Call) (json.RawMessage, error) {
	params = bytes.TrimSpace(params)
	if len(params) == 0 || bytes.Equal(params, []byte("null")) {
		return nil, nil
	}
	if params[0] != '{' {
		return nil, api.Errorf(op.Name, api.Invalid, "params: want one object, the operation's input")
	}
	// Most calls have no reserved member; their input passes as it is.
	if !bytes.Contains(params, []byte(jsonrpc.MemberIdempotency)) && !bytes.Contains(params, []byte(jsonrpc.MemberWait)) {
		return params, nil
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(params, &members); err != nil {
		return nil, api.Errorf(op.Name, api.Invalid, "params: %w", err)
	}
	take := func(name string) (text string, given bool, err error) {
		raw, given := members[name]
		if !given {
			return "", false, nil
		}
		delete(members, name)
		if !op.Write {
			return "", true, api.Errorf(op.Name, api.Invalid, "%s: this operation writes nothing, leave it out", name)
		}
		if err := json.Unmarshal(raw, &text); err != nil {
			return "", true, api.Errorf(op.Name, api.Invalid, "%s: want a text", name)
		}
		return text, true, nil
	}
	key, given, err := take(jsonrpc.MemberIdempotency)
	if err != nil {
		return nil, err
	}
	if given {
		if key == "" || len(key) > api.MaxIdempotency {
			return nil, api.Errorf(op.Name, api.Invalid, "%s: %d characters, want 1 to %d", jsonrpc.MemberIdempotency, len(key), api.MaxIdempotency)
		}
		call.Idempotency = key
	}
	wait, given, err := take(jsonrpc.MemberWait)
	if err != nil {
		return nil, err
	}
	if given {
		call.Wait = api.Wait(wait)
		if err := call.Wait.Validate(); err != nil || wait == "" {
			return nil, api.Errorf(op.Name, api.Invalid, "%s: got %q, want %q, %q or %q", jsonrpc.MemberWait, wait, api.WaitLocal, api.WaitReplicated(2), api.WaitFinal)
		}
	}
	return json.Marshal(members)
}
