package openapi

import "github.com/intercooperative/icn/kernel/api"

// Problem is how an edge writes an error: `application/problem+json` of RFC 9457. Code is api.Kind.Code, or one of not-acceptable, method-not-allowed and
// unsupported-media-type.
type Problem struct {
	Type   string `json:"type" doc:"urn:icn:problem: and the code"`
	Title  string `json:"title" doc:"the HTTP status in words"`
	Status int    `json:"status" doc:"the HTTP status"`
	Detail string `json:"detail,omitempty" doc:"for a person"`
	Code   string `json:"code" doc:"stable, for programs: the kind of error, or what is wrong with the request as HTTP has it"`

	Op      string       `json:"op,omitempty" doc:"what was being done, e.g. an operation's name"`
	Reason  *api.Reason  `json:"reason,omitempty" doc:"when a rule said no: which, and what would change that"`
	Refusal string       `json:"refusal,omitempty" doc:"under which name the node remembers it, for refusal.explain"`
	Receipt *api.Receipt `json:"receipt,omitempty" doc:"of a record that stands, when the level waited for was not reached"`
}
