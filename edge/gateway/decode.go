package gateway

import (
	"bytes"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"mime"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/intercooperative/icn/kernel/api"
)

// shape is where the fields of an operation's input stand in a request: those named in the path there, the others in the query of a GET or DELETE, and
// in a JSON body of every other method.
type shape struct {
	fields  map[string]reflect.Type // by JSON name
	path    []string
	inQuery bool
	write   bool
}

func shapeOf(op *api.Operation) shape {
	s := shape{fields: map[string]reflect.Type{}, inQuery: op.Method == http.MethodGet || op.Method == http.MethodDelete, write: op.Write}
	for _, f := range reflect.VisibleFields(op.In) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if !f.IsExported() || name == "-" || f.Anonymous && name == "" {
			continue
		}
		if name == "" {
			name = f.Name
		}
		s.fields[name] = f.Type
	}
	for _, part := range strings.Split(op.Path, "/") {
		if name, ok := strings.CutPrefix(part, "{"); ok {
			s.path = append(s.path, strings.TrimSuffix(strings.TrimSuffix(name, "}"), "..."))
		}
	}
	return s
}

// input reads the operation's input out of a request as JSON, and what belongs to the call into call.
func (s *Server) input(w http.ResponseWriter, r *http.Request, rt *route, call *api.Call) (json.RawMessage, error) {
	in := &rt.input
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, invalid("query: %v", err)
	}
	if in.write {
		if err := writeOptions(r, query, call); err != nil {
			return nil, err
		}
	}
	members := map[string]json.RawMessage{}
	if in.inQuery {
		if r.ContentLength != 0 && r.Body != http.NoBody {
			return nil, invalid("body: %s takes none, its input stands in the path and the query", r.Method)
		}
		if err := in.query(query, members); err != nil {
			return nil, err
		}
	} else {
		if name, ok := first(query); ok {
			return nil, invalid("query parameter %q: unknown; the input stands in the body", clip(name, 64))
		}
		body, err := s.body(w, r)
		if err != nil {
			return nil, err
		}
		if members, err = in.body(body); err != nil {
			return nil, err
		}
		if len(in.path) == 0 {
			return body, nil
		}
	}
	for _, name := range in.path {
		if members[name], err = literal(in.fields[name], []string{r.PathValue(name)}); err != nil {
			return nil, invalid("%s in the path: %w", name, err)
		}
	}
	return json.Marshal(members)
}

// writeOptions takes what says how to write: the query parameter wait, and the header Idempotency-Key.
func writeOptions(r *http.Request, query url.Values, call *api.Call) error {
	if waits, ok := query["wait"]; ok {
		delete(query, "wait")
		call.Wait = api.Wait(waits[0])
		if err := call.Wait.Validate(); err != nil || waits[0] == "" || len(waits) > 1 {
			return invalid("query parameter wait: got %q, want %q, %q or %q", clip(strings.Join(waits, " "), 64), api.WaitLocal, api.WaitReplicated(2), api.WaitFinal)
		}
	}
	keys := r.Header.Values("Idempotency-Key")
	if len(keys) == 0 {
		return nil
	}
	key := keys[0]
	if len(key) > 1 && key[0] == '"' && key[len(key)-1] == '"' { // a string as structured headers (RFC 9651) have it
		key = key[1 : len(key)-1]
	}
	odd := func(r rune) bool { return r < '!' || r > '~' }
	if len(keys) > 1 || key == "" || len(key) > api.MaxIdempotency || strings.ContainsFunc(key, odd) {
		return invalid("header Idempotency-Key: want one key of 1 to %d visible ASCII characters", api.MaxIdempotency)
	}
	call.Idempotency = key
	return nil
}

// query reads the fields that stand in a query.
func (s *shape) query(query url.Values, members map[string]json.RawMessage) (err error) {
	for _, name := range slices.Sorted(maps.Keys(query)) {
		t, ok := s.fields[name]
		if !ok || slices.Contains(s.path, name) {
			return invalid("query parameter %q: unknown; this operation takes %s", clip(name, 64), s.names())
		}
		if members[name], err = literal(t, query[name]); err != nil {
			return invalid("query parameter %s: %w", name, err)
		}
	}
	return nil
}

// body reads the members of a JSON object. It is stricter than encoding/json: a name has one spelling and stands once, and text is valid UTF-8, so
// that nothing is taken for what its sender did not mean.
func (s *shape) body(body []byte) (map[string]json.RawMessage, error) {
	members := map[string]json.RawMessage{}
	if len(bytes.TrimSpace(body)) == 0 {
		return members, nil
	}
	if !utf8.Valid(body) {
		return nil, invalid("body: not UTF-8")
	}
	if !json.Valid(body) {
		return nil, invalid("body: not JSON: %w", json.Unmarshal(body, &json.RawMessage{}))
	}
	if bytes.TrimLeft(body, blank)[0] != '{' {
		return nil, invalid("body: want one JSON object, the operation's input")
	}
	err := eachMember(body, func(quoted, value []byte) error {
		var name string
		if err := json.Unmarshal(quoted, &name); err != nil {
			return err
		}
		t, known := s.fields[name]
		switch _, twice := members[name]; {
		case !known:
			return invalid("field %q: unknown; this operation takes %s", clip(name, 64), s.names())
		case twice:
			return invalid("field %s: stands twice", name)
		case slices.Contains(s.path, name):
			return invalid("field %s: it stands in the path, leave it out of the body", name)
		}
		if err := check(t, value); err != nil {
			return invalid("field %s: %w", name, err)
		}
		members[name] = value
		return nil
	})
	return members, err
}

// blank is what JSON takes for blank.
const blank = " \t\r\n"

// eachMember goes over the members of an object in JSON that is valid. A json.Decoder does so too, at several times the price and with a copy of each.
func eachMember(object []byte, each func(name, value []byte) error) error {
	for b := bytes.TrimLeft(object, blank+"{"); b[0] != '}'; b = bytes.TrimLeft(b, blank+",") {
		n := valueEnd(b)
		name := b[:n]
		b = bytes.TrimLeft(b[n:], blank+":")
		n = valueEnd(b)
		if err := each(name, b[:n:n]); err != nil {
			return err
		}
		b = b[n:]
	}
	return nil
}

// valueEnd is where the JSON value ends with which b begins.
func valueEnd(b []byte) int {
	for i, depth := 0, 0; ; i++ {
		switch b[i] {
		case '"':
			for i++; b[i] != '"'; i++ {
				if b[i] == '\\' {
					i++
				}
			}
			if depth == 0 {
				return i + 1
			}
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth <= 0 {
				return i + 1 + depth // of what has no brackets the closing one is no part
			}
		case ',', ':', ' ', '\t', '\r', '\n':
			if depth == 0 {
				return i
			}
		}
	}
}

// names lists what may stand in the query or the body.
func (s *shape) names() string {
	var out []string
	for _, name := range slices.Sorted(maps.Keys(s.fields)) {
		if !slices.Contains(s.path, name) {
			out = append(out, name)
		}
	}
	if len(out) == 0 {
		return "nothing there"
	}
	return strings.Join(out, ", ")
}

// body reads the body of a request, MaxBody at most.
func (s *Server) body(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if r.ContentLength > s.opt.MaxBody {
		return nil, s.tooLarge()
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, s.opt.MaxBody))
	var over *http.MaxBytesError
	switch {
	case errors.As(err, &over):
		return nil, s.tooLarge()
	case err != nil:
		return nil, invalid("body: it did not come whole: %v", err)
	}
	if len(body) > 0 {
		t, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
		if charset := params["charset"]; err != nil || t != "application/json" || charset != "" && !strings.EqualFold(charset, "utf-8") {
			return nil, &protocolError{http.StatusUnsupportedMediaType, "unsupported-media-type", "Content-Type: want application/json, in UTF-8"}
		}
		if e := r.Header.Get("Content-Encoding"); e != "" && e != "identity" {
			return nil, &protocolError{http.StatusUnsupportedMediaType, "unsupported-media-type", "Content-Encoding: send the body as it is"}
		}
	}
	return body, nil
}

func (s *Server) tooLarge() error {
	return api.Errorf("gateway", api.TooLarge, "body: more than %d bytes, which is the limit here", s.opt.MaxBody)
}

var textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()

// textual reports whether values of t are read from text by a method of their own.
func textual(t reflect.Type) bool { return reflect.PointerTo(t).Implements(textUnmarshaler) }

// check looks at a value that reads itself from text: encoding/json does not say which field such an error is of.
func check(t reflect.Type, raw json.RawMessage) error {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if !textual(t) {
		return nil
	}
	return json.Unmarshal(raw, reflect.New(t).Interface())
}

// literal writes the texts of one path or query parameter as the JSON of a field of type t. A list is given by repeating its parameter.
func literal(t reflect.Type, texts []string) (json.RawMessage, error) {
	if t == nil {
		return nil, errors.New("the input has no such field")
	}
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() == reflect.Slice && t.Elem().Kind() != reflect.Uint8 && !textual(t) {
		list := make([]json.RawMessage, len(texts))
		for i, text := range texts {
			var err error
			if list[i], err = literal(t.Elem(), []string{text}); err != nil {
				return nil, err
			}
		}
		return json.Marshal(list)
	}
	if len(texts) != 1 {
		return nil, errors.New("given twice")
	}
	return scalar(t, texts[0])
}

func scalar(t reflect.Type, text string) (json.RawMessage, error) {
	if !utf8.ValidString(text) {
		return nil, errors.New("not UTF-8")
	}
	quoted, err := json.Marshal(text)
	if err != nil {
		return nil, err
	}
	if textual(t) {
		return quoted, check(t, quoted)
	}
	wrong := func(want string) error { return fmt.Errorf("got %s, want %s", clip(string(quoted), 80), want) }
	switch t.Kind() {
	case reflect.String, reflect.Slice: // the latter is bytes, in base64
		return quoted, nil
	case reflect.Bool:
		if text != "true" && text != "false" {
			return nil, wrong("true or false")
		}
		return json.RawMessage(text), nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		n, err := strconv.ParseInt(text, 10, t.Bits())
		if err != nil {
			return nil, wrong(fmt.Sprintf("a whole number of at most %d bits", t.Bits()))
		}
		return strconv.AppendInt(nil, n, 10), nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		n, err := strconv.ParseUint(text, 10, t.Bits())
		if err != nil {
			return nil, wrong(fmt.Sprintf("a whole number of at most %d bits, 0 or more", t.Bits()))
		}
		return strconv.AppendUint(nil, n, 10), nil
	case reflect.Float32, reflect.Float64:
		f, err := strconv.ParseFloat(text, t.Bits())
		if err != nil || math.IsInf(f, 0) || math.IsNaN(f) {
			return nil, wrong("a number")
		}
		return json.Marshal(f)
	}
	if !json.Valid([]byte(text)) { // what has an inside
		return nil, wrong("JSON")
	}
	return json.RawMessage(text), nil
}

func first(query url.Values) (string, bool) {
	for _, name := range slices.Sorted(maps.Keys(query)) {
		return name, true
	}
	return "", false
}

func invalid(format string, args ...any) error { return api.Errorf("", api.Invalid, format, args...) }
