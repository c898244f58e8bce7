// Package openapi describes the operation table of a node as an OpenAPI 3.1 document, and serves that with a page to read it by.
//
// Begin with Document, which knows operations and Go types only: a new app is described without a line here. How an operation becomes an HTTP request
// is docs/api.md; the gateway (edge/gateway) follows the same rules. What a document says of a type is what encoding/json does with it, and a field
// is required where api.Operation.Decode wants it.
//
// The same table gives the same bytes.
package openapi

import (
	"bytes"
	"cmp"
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/intercooperative/icn/kernel/api"
)

// Base is where the paths of operations begin.
const Base = "/api/v1"

// Info is what a document says of itself.
type Info struct {
	Title       string
	Version     string // of the interface, not of a build
	Description string // CommonMark
}

// About returns what the documents of this version of the interface say of themselves.
func About() Info { return Info{Title: "ICN", Version: "1", Description: about} }

const about = `A node of ICN: signed records in feeds, mutual credit, finality by witnesses, cuts.

Every operation is reachable by HTTP as described here, by JSON-RPC under its operationId, and mostly by icnctl. Amounts are whole minor units of
a currency, with its scale beside them. Errors are problem+json with a stable code. Numbers of 64 bits can be over 2^53.`

type document struct {
	OpenAPI    string                           `json:"openapi"`
	Info       info                             `json:"info"`
	Servers    []server                         `json:"servers"`
	Tags       []tag                            `json:"tags"`
	Paths      map[string]map[string]*operation `json:"paths"`
	Components components                       `json:"components"`
	Events     map[string]eventType             `json:"x-icn-events,omitempty"`
}

// eventType is what an event of one type carries as its data.
type eventType struct {
	Summary string  `json:"summary"`
	Scope   string  `json:"x-icn-scope"`
	Always  bool    `json:"x-icn-always,omitempty"`
	Data    *schema `json:"data"`
}

type info struct {
	Title       string            `json:"title"`
	Version     string            `json:"version"`
	Description string            `json:"description"`
	Contact     map[string]string `json:"contact"`
	License     map[string]string `json:"license"`
}

type server struct {
	URL         string `json:"url"`
	Description string `json:"description"`
}

type tag struct {
	Name string `json:"name"`
}

type components struct {
	Schemas    map[string]*schema         `json:"schemas"`
	Parameters map[string]*parameter      `json:"parameters,omitempty"`
	Headers    map[string]*header         `json:"headers"`
	Responses  map[string]*response       `json:"responses"`
	Security   map[string]*securityScheme `json:"securitySchemes"`
}

type securityScheme struct {
	Type         string `json:"type"`
	Scheme       string `json:"scheme"`
	BearerFormat string `json:"bearerFormat"`
	Description  string `json:"description"`
}

type operation struct {
	ID          string                `json:"operationId"`
	Summary     string                `json:"summary"`
	Description string                `json:"description"`
	Tags        []string              `json:"tags"`
	Security    []map[string][]string `json:"security"`
	Parameters  []*parameter          `json:"parameters,omitempty"`
	Body        *requestBody          `json:"requestBody,omitempty"`
	Responses   map[string]*response  `json:"responses"`
	Scope       string                `json:"x-icn-scope"`
	Kind        string                `json:"x-icn-kind"`
	Write       bool                  `json:"x-icn-write"`
	Signs       string                `json:"x-icn-signs"`
	CLI         string                `json:"x-icn-cli,omitempty"`
}

type parameter struct {
	Ref         string  `json:"$ref,omitempty"`
	Name        string  `json:"name,omitempty"`
	In          string  `json:"in,omitempty"`
	Description string  `json:"description,omitempty"`
	Required    bool    `json:"required,omitempty"`
	Schema      *schema `json:"schema,omitempty"`
	Example     any     `json:"example,omitempty"`
}

type header struct {
	Ref         string  `json:"$ref,omitempty"`
	Description string  `json:"description,omitempty"`
	Schema      *schema `json:"schema,omitempty"`
}

type requestBody struct {
	Required bool             `json:"required"`
	Content  map[string]media `json:"content"`
}

type response struct {
	Ref         string             `json:"$ref,omitempty"`
	Description string             `json:"description,omitempty"`
	Headers     map[string]*header `json:"headers,omitempty"`
	Content     map[string]media   `json:"content,omitempty"`
}

type media struct {
	Schema  *schema `json:"schema,omitempty"` // none: bytes
	Example any     `json:"example,omitempty"`
}

// methods are those an operation may have, and whether their input is a body.
var methods = map[string]bool{
	http.MethodGet: false, http.MethodDelete: false, http.MethodPost: true, http.MethodPut: true, http.MethodPatch: true,
}

// pathField finds the fields of a path; one may take the rest of it, as {name...}.
var pathField = regexp.MustCompile(`\{([^{}]*?)(?:\.\.\.)?\}`)

// Document returns the OpenAPI 3.1 document of the operations, as JSON that ends in a newline. It refuses a table that HTTP cannot serve: an operation
// without a usable method or path, two at one place, a path field that the input does not have, a type that JSON cannot carry. Events are the types of
// events that a stream of api.Event tells: x-icn-events has the schema of the data of each by its name.
func Document(ops []api.Operation, about Info, events ...api.EventType) ([]byte, error) {
	b := &builder{types: newTypes(), paths: map[string]map[string]*operation{}}
	ops = slices.Clone(ops)
	slices.SortFunc(ops, func(x, y api.Operation) int { return cmp.Compare(x.Name, y.Name) })
	// What is answered comes first, so that a type that is both answered and taken is described as what may be answered.
	for i := range ops {
		if b.hasFields(ops[i].Out) {
			b.ref(ops[i].Out, ops[i].Name, true)
		}
	}
	told := map[string]eventType{}
	for _, e := range events {
		told[e.Name] = eventType{e.Summary, e.Scope, e.Always, b.ref(e.Data, e.Name, true)}
	}
	tags := map[string]bool{}
	for i := range ops {
		if err := b.operation(&ops[i]); err != nil {
			return nil, err
		}
		tags[tagOf(ops[i].Name)] = true
	}
	doc := document{
		OpenAPI: "3.1.0",
		Info: info{
			Title: about.Title, Version: about.Version, Description: about.Description,
			Contact: map[string]string{"name": "ICN", "url": "https://github.com/intercooperative/icn"},
			License: map[string]string{"name": "MIT or Apache-2.0", "identifier": "MIT OR Apache-2.0"},
		},
		Servers:    []server{{Base, "the node that serves this document"}},
		Tags:       []tag{},
		Paths:      b.paths,
		Components: b.components(ops),
		Events:     told,
	}
	for t := range tags {
		doc.Tags = append(doc.Tags, tag{t})
	}
	slices.SortFunc(doc.Tags, func(x, y tag) int { return cmp.Compare(x.Name, y.Name) })
	if b.err != nil {
		return nil, b.err
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(doc); err != nil {
		return nil, api.Errorf(opName, api.Internal, "%w", err)
	}
	return out.Bytes(), nil
}

const opName = "openapi"

// builder collects what operations need.
type builder struct {
	*types
	paths map[string]map[string]*operation
}

func tagOf(name string) string {
	word, _, _ := strings.Cut(name, ".")
	return word
}

func (b *builder) operation(op *api.Operation) error {
	body, ok := methods[op.Method]
	if !ok {
		return api.Errorf(opName, api.Internal, "%s: method %q: want GET, DELETE, POST, PUT or PATCH", op.Name, op.Method)
	}
	if !strings.HasPrefix(op.Path, "/") {
		return api.Errorf(opName, api.Internal, "%s: path %q: want one that begins with /", op.Name, op.Path)
	}
	method, path := strings.ToLower(op.Method), strings.ReplaceAll(op.Path, "...}", "}")
	if other := b.paths[path][method]; other != nil {
		return api.Errorf(opName, api.Internal, "%s: %s %s is the place of %s", op.Name, op.Method, op.Path, other.ID)
	}
	o := &operation{
		ID: op.Name, Summary: op.Summary, Description: describe(op), Tags: []string{tagOf(op.Name)},
		Security: []map[string][]string{}, Responses: b.responses(op),
		Scope: op.Scope, Kind: op.Kind.String(), Write: op.Write, Signs: op.Signs.String(), CLI: op.CLI,
	}
	if op.Scope != api.ScopePublic {
		o.Security = append(o.Security, map[string][]string{"bearer": {op.Scope}})
	}
	if err := b.input(o, op, body); err != nil {
		return err
	}
	if b.paths[path] == nil {
		b.paths[path] = map[string]*operation{}
	}
	b.paths[path][method] = o
	return b.err
}

// input lays the fields of an operation's input out over path, query and body.
func (b *builder) input(o *operation, op *api.Operation, body bool) error {
	fs, err := b.fields(op.In)
	if err != nil {
		return err
	}
	taken := map[string]bool{}
	for _, m := range pathField.FindAllStringSubmatch(op.Path, -1) {
		i := slices.IndexFunc(fs, func(f field) bool { return f.name == m[1] })
		if i < 0 || taken[m[1]] {
			return api.Errorf(opName, api.Internal, "%s: path %s: the input has no field %q for it, or not twice", op.Name, op.Path, m[1])
		}
		taken[m[1]] = true
		p, err := b.parameter(op, fs[i], "path")
		if err != nil {
			return err
		}
		p.Required = true
		o.Parameters = append(o.Parameters, p)
	}
	rest := slices.DeleteFunc(fs, func(f field) bool { return taken[f.name] })
	switch {
	case !body:
		for _, f := range rest {
			p, err := b.parameter(op, f, "query")
			if err != nil {
				return err
			}
			o.Parameters = append(o.Parameters, p)
		}
	case len(rest) > 0:
		var s *schema
		if len(taken) > 0 { // what is left of the type has no name
			s = b.object(rest, op.Name, false)
		} else {
			s = b.ref(op.In, op.Name, false)
		}
		o.Body = &requestBody{
			Required: slices.ContainsFunc(rest, func(f field) bool { return f.required }),
			Content:  map[string]media{"application/json": {Schema: s, Example: b.exampleOf(rest, 0)}},
		}
	}
	if op.Write {
		if !body && slices.ContainsFunc(rest, func(f field) bool { return f.name == "wait" }) {
			return api.Errorf(opName, api.Internal, "%s: the field wait would be the query parameter wait", op.Name)
		}
		o.Parameters = append(o.Parameters, &parameter{Ref: "#/components/parameters/IdempotencyKey"}, &parameter{Ref: "#/components/parameters/Wait"})
	}
	if op.Kind == api.Stream && slices.ContainsFunc(fs, func(f field) bool { return f.name == "after" }) {
		o.Parameters = append(o.Parameters, &parameter{Ref: "#/components/parameters/LastEventID"})
	}
	return nil
}

func (b *builder) parameter(op *api.Operation, f field, in string) (*parameter, error) {
	s := b.ref(f.typ, op.Name+" "+f.name, false)
	if !b.fitsText(s, in == "query") {
		return nil, api.Errorf(opName, api.Internal, "%s: field %s: a %s cannot stand in the %s", op.Name, f.name, f.typ, in)
	}
	p := &parameter{Name: f.name, In: in, Description: sentence(f.doc), Required: f.required, Schema: f.constrain(s)}
	if f.required || in == "path" {
		p.Example = b.fieldExample(f, 0)
	}
	return p, nil
}

// fitsText reports whether a value can be written into a URL: a scalar, or in the query a list of scalars.
func (b *builder) fitsText(s *schema, list bool) bool {
	s = b.resolve(s)
	switch s.Type {
	case "string", "integer", "number", "boolean":
		return true
	case "array":
		return list && b.fitsText(s.Items, false)
	}
	return false
}

// describe says of an operation what its summary does not.
func describe(op *api.Operation) string {
	var parts []string
	if op.Scope == api.ScopePublic {
		parts = append(parts, "Needs no token.")
	} else {
		parts = append(parts, "Needs the scope `"+op.Scope+"`.")
	}
	switch op.Kind {
	case api.List:
		parts = append(parts, "Answers one page; `cursor` of the answer is the `cursor` of the next, and empty on the last.")
	case api.Stream:
		if op.IsFile() {
			parts = append(parts, "Answers with a file.")
			break
		}
		parts = append(parts, "Answers a stream of items, as server-sent events or, after an upgrade, as text messages of a WebSocket: each is one JSON value.")
	case api.Unary:
	}
	if op.CLI != "" {
		parts = append(parts, "On the command line: `icnctl "+op.CLI+"`.")
	}
	return strings.Join(parts, " ")
}

// sentence returns a doc tag with a capital letter, unless it begins with what is no word.
func sentence(doc string) string {
	word, _, _ := strings.Cut(doc, " ")
	if strings.Trim(word, "abcdefghijklmnopqrstuvwxyz,") != "" || word == "" {
		return doc
	}
	return strings.ToUpper(doc[:1]) + doc[1:]
}

// kinds are the errors that operations are described with, each a response.
var kinds = []struct {
	kind api.Kind
	text string
}{
	{api.Invalid, "The request is wrong; repeating it unchanged will not help."},
	{api.Unauthenticated, "Nobody is logged in, or the token does not hold any more."},
	{api.Refused, "A rule says no; reason says which, and what would change that."},
	{api.NotFound, "There is no such thing here."},
	{api.Conflict, "The state has moved, or the idempotency key was used for something else."},
	{api.TooLarge, "The request is over a stated size."},
	{api.RateLimited, "Too much at once; come back later."},
	{api.Unsupported, "This node cannot do that, for instance since the key is elsewhere."},
	{api.Unavailable, "The node is busy, starting or stopping; come back later."},
	{api.Timeout, "It took too long. With a receipt the record stands, and has not reached the level waited for."},
	{api.Internal, "A fault of the node's own."},
}

// responseName is the component of a kind of error: too-large is TooLarge.
func responseName(k api.Kind) string { return camel(k.Code()) }

func (b *builder) responses(op *api.Operation) map[string]*response {
	out := map[string]*response{"default": {Ref: "#/components/responses/Problem"}}
	for _, k := range kinds {
		switch k.kind {
		case api.Conflict, api.Unsupported, api.Timeout:
			if !op.Write {
				continue
			}
		case api.TooLarge:
			if !methods[op.Method] {
				continue
			}
		case api.Unauthenticated, api.Refused:
			if op.Scope == api.ScopePublic {
				continue
			}
		default:
		}
		out[strconv.Itoa(k.kind.HTTPStatus())] = &response{Ref: "#/components/responses/" + responseName(k.kind)}
	}
	s := &schema{Type: "object"}
	if b.hasFields(op.Out) {
		s = b.ref(op.Out, op.Name, true)
	}
	ok := &response{Description: "Done.", Content: map[string]media{"application/json": {Schema: s}}}
	switch op.Kind {
	case api.Stream:
		if op.IsFile() {
			ok = &response{
				Description: "The file, or, for who asks for text/event-stream, its parts as server-sent events of this schema. A connection that is cut means that the file is not whole.",
				Content:     map[string]media{"application/octet-stream": {}, "text/event-stream": {Schema: s}},
			}
			break
		}
		ok = &response{
			Description: "Server-sent events; the data of each is one item of this schema. An item with a cursor has it as the event's id.",
			Content:     map[string]media{"text/event-stream": {Schema: s}},
		}
	case api.List:
		ok.Description = "One page."
	case api.Unary:
	}
	out["200"] = ok
	return out
}

// components returns what the operations refer to, and nothing that none does.
func (b *builder) components(ops []api.Operation) components {
	problemRef := b.ref(problemType, "problem", true)
	c := components{
		Parameters: map[string]*parameter{},
		Headers:    map[string]*header{"RetryAfter": {Description: "Seconds to wait.", Schema: &schema{Type: "integer", Minimum: new(int64)}}},
		Responses:  map[string]*response{},
		Security: map[string]*securityScheme{"bearer": {
			Type: "http", Scheme: "bearer", BearerFormat: "JWT",
			Description: "An access token. It holds scopes; `x:*` holds all of x, `*` all, and `scope@space` that scope in one space only.",
		}},
	}
	content := map[string]media{"application/problem+json": {Schema: problemRef}}
	c.Responses["Problem"] = &response{Description: "Any other error.", Content: content}
	used := map[string]bool{}
	for _, path := range b.paths {
		for _, o := range path {
			for _, r := range o.Responses {
				used[strings.TrimPrefix(r.Ref, "#/components/responses/")] = true
			}
		}
	}
	for _, k := range kinds {
		name := responseName(k.kind)
		if !used[name] {
			continue
		}
		r := &response{Description: k.text, Content: content}
		if k.kind == api.RateLimited || k.kind == api.Unavailable {
			r.Headers = map[string]*header{"Retry-After": {Ref: "#/components/headers/RetryAfter"}}
		}
		c.Responses[name] = r
	}
	if slices.ContainsFunc(ops, func(op api.Operation) bool { return op.Write }) {
		c.Parameters["IdempotencyKey"] = &parameter{
			Name: "Idempotency-Key", In: "header",
			Description: "Name of the request: sent again with the same name it is not done again, and is answered as the first time.",
			Schema:      &schema{Type: "string", MinLength: 1, MaxLength: api.MaxIdempotency},
		}
		c.Parameters["Wait"] = &parameter{
			Name: "wait", In: "query", Schema: b.ref(waitType, "wait", false),
			Description: "How far the write has to get before it is answered; default: local.",
		}
	}
	for _, path := range b.paths {
		for _, o := range path {
			if slices.ContainsFunc(o.Parameters, func(p *parameter) bool { return p.Ref == "#/components/parameters/LastEventID" }) {
				c.Parameters["LastEventID"] = &parameter{
					Name: "Last-Event-ID", In: "header", Schema: &schema{Type: "string"},
					Description: "Cursor of the last event received: the stream goes on after it. Browsers send it by themselves.",
				}
			}
		}
	}
	c.Schemas = b.schemas
	return c
}
