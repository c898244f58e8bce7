package openapi

import "github.com/intercooperative/icn/kernel/api"

// Problem is an error on the wire, application/problem+json of RFC 9457.
type Problem struct {
	Type     string `json:"type" doc:"about:blank: the code says what it is"`
	Title    string `json:"title" doc:"words of the HTTP status"`
	Status   int    `json:"status" doc:"the HTTP status"`
	Detail   string `json:"detail" doc:"one sentence for a person"`
	Code     string `json:"code" doc:"which kind of error: stable, for programs"`
	Instance string `json:"instance,omitempty" doc:"name of the request, as the node's log has it"`
	Op       string `json:"op,omitempty" doc:"what was being done, e.g. an operation's name"`

	Reason  *api.Reason  `json:"reason,omitempty" doc:"when a rule said no: which, and what would change that"`
	Refusal string       `json:"refusal,omitempty" doc:"under which name the node remembers it: refusal.explain"`
	Receipt *api.Receipt `json:"receipt,omitempty" doc:"of the record that stands, when the level waited for was not reached"`
}
