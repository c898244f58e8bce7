package gateway

import (
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/intercooperative/icn/kernel/api"
)

// maxToken bounds a bearer token, in bytes.
const maxToken = 8 << 10

// caller says who asks for something of that scope, and takes the request from what they may ask. Without a token only public things are asked for.
func (s *Server) caller(w http.ResponseWriter, r *http.Request, scope string) (*api.Call, error) {
	bearer, err := bearerOf(r)
	if err != nil {
		return nil, s.stranger(r, err)
	}
	call := &api.Call{Scopes: []string{api.ScopePublic}}
	if bearer != "" {
		if call, err = s.authenticate(r, bearer); err != nil {
			return nil, s.stranger(r, err)
		}
		if x := exchangeOf(w); x != nil {
			x.actor = call.Actor
		}
	}
	if err := s.admit(call.Actor, s.address(r)); err != nil {
		return nil, err
	}
	if bearer == "" && scope != api.ScopePublic {
		return nil, &challengeError{api.Errorf("gateway", api.Unauthenticated, "this needs a token: log in, and send it as Authorization: Bearer TOKEN"), `Bearer realm="icn"`}
	}
	return call, nil
}

// stranger is err for somebody who showed no good token, unless their address asks too often: tokens are not to be guessed at speed.
func (s *Server) stranger(r *http.Request, err error) error {
	if limited := s.admit("", s.address(r)); limited != nil {
		return limited
	}
	return err
}

// authenticate asks whose a token is. The Call is the caller's to change.
func (s *Server) authenticate(r *http.Request, bearer string) (*api.Call, error) {
	refuse := func(err error) error {
		return &challengeError{err, `Bearer realm="icn", error="invalid_token"`}
	}
	if s.opt.Authenticate == nil {
		return nil, refuse(api.Errorf("gateway", api.Unauthenticated, "nobody can log in to this node"))
	}
	known, err := s.opt.Authenticate(r.Context(), bearer)
	if err != nil {
		if api.KindOf(err) == api.Unauthenticated {
			err = refuse(err)
		}
		return nil, err
	}
	if known == nil || known.Actor == "" {
		return nil, refuse(api.Errorf("gateway", api.Unauthenticated, "the token is nobody's"))
	}
	known.Signer = nil // a gateway holds nobody's key
	known.Scopes = append(slices.Clip(known.Scopes), api.ScopePublic)
	return known, nil
}

// bearerSubprotocol is how a browser gives a token with a WebSocket, for which it can set no header.
const bearerSubprotocol = "icn.bearer."

// bearerOf returns the token that a request shows, "" for none.
func bearerOf(r *http.Request) (string, error) {
	const op = "gateway"
	var tokens []string
	for _, v := range r.Header.Values("Authorization") {
		scheme, token, _ := strings.Cut(v, " ")
		if !strings.EqualFold(scheme, "Bearer") {
			return "", &challengeError{api.Errorf(op, api.Unauthenticated, "Authorization: want Bearer TOKEN"), `Bearer realm="icn", error="invalid_request"`}
		}
		tokens = append(tokens, strings.TrimSpace(token))
	}
	if upgrades(r) {
		for _, p := range subprotocols(r) {
			if token, ok := strings.CutPrefix(p, bearerSubprotocol); ok {
				tokens = append(tokens, token)
			}
		}
	}
	switch {
	case len(tokens) == 0:
		return "", nil
	case len(tokens) > 1 || tokens[0] == "" || len(tokens[0]) > maxToken:
		return "", &challengeError{api.Errorf(op, api.Unauthenticated, "want one token of at most %d bytes", maxToken), `Bearer realm="icn", error="invalid_request"`}
	}
	return tokens[0], nil
}

// admit takes one request from what the actor, or without one the address, may ask.
func (s *Server) admit(actor api.DID, addr netip.Addr) error {
	if s.opt.Limit == nil {
		return nil
	}
	after, reason := s.opt.Limit(actor, addr)
	switch {
	case reason == nil:
		return nil
	case after <= 0:
		return api.Refusal("gateway", reason)
	}
	return &lateError{&api.Error{Op: "gateway", Kind: api.RateLimited, Reason: reason, Err: reason}, after}
}

// address returns where a request comes from: what the nearest proxy that is not one of ours says, or the connection's other end.
func (s *Server) address(r *http.Request) netip.Addr {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return netip.Addr{}
	}
	addr = addr.Unmap().WithZone("")
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0 && s.proxy(addr); i-- {
		hop, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			break
		}
		addr = hop.Unmap().WithZone("")
	}
	return addr
}

func (s *Server) proxy(a netip.Addr) bool {
	return slices.ContainsFunc(s.opt.TrustedProxies, func(p netip.Prefix) bool { return p.Contains(a) })
}
