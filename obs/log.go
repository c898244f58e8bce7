package obs

import (
	"fmt"
	"io"
	"log/slog"
	"strings"
)

// The log formats.
const (
	FormatJSON = "json" // one object a line, for machines
	FormatText = "text" // key=value, for people
)

// NewLogger returns a logger that writes to w. Level is debug, info, warn or error; format is FormatJSON or FormatText. Values of
// attributes whose key names a secret are replaced by stars, whatever their type.
func NewLogger(w io.Writer, level, format string) (*slog.Logger, error) {
	lv, err := ParseLevel(level)
	if err != nil {
		return nil, err
	}
	opts := &slog.HandlerOptions{Level: lv, ReplaceAttr: redact}
	switch format {
	case FormatJSON:
		return slog.New(slog.NewJSONHandler(w, opts)), nil
	case FormatText:
		return slog.New(slog.NewTextHandler(w, opts)), nil
	}
	return nil, fmt.Errorf("log format %q: want %s or %s", format, FormatJSON, FormatText)
}

// ParseLevel reads debug, info, warn or error.
func ParseLevel(s string) (slog.Level, error) {
	switch s {
	case "debug":
		return slog.LevelDebug, nil
	case "info":
		return slog.LevelInfo, nil
	case "warn":
		return slog.LevelWarn, nil
	case "error":
		return slog.LevelError, nil
	}
	return 0, fmt.Errorf("log level %q: want debug, info, warn or error", s)
}

const stars = "***"

// redact is the second line of defence behind Secret: a secret logged as a plain string under its own name.
func redact(_ []string, a slog.Attr) slog.Attr {
	key := strings.ToLower(a.Key)
	for _, word := range [...]string{"passphrase", "password", "secret", "token"} {
		if strings.HasSuffix(key, word) {
			return slog.String(a.Key, stars)
		}
	}
	return a
}

// Secret is a text that prints as stars wherever it is formatted, logged or marshalled. Reveal is the one way to its value.
type Secret string

// Reveal returns the secret itself.
func (s Secret) Reveal() string { return string(s) }

// String implements fmt.Stringer.
func (Secret) String() string { return stars }

// GoString implements fmt.GoStringer, for %#v.
func (Secret) GoString() string { return stars }

// Format implements fmt.Formatter, so that no verb, %x and %d included, gets through to the bytes.
func (Secret) Format(f fmt.State, _ rune) { io.WriteString(f, stars) }

// LogValue implements slog.LogValuer.
func (Secret) LogValue() slog.Value { return slog.StringValue(stars) }

// MarshalText implements encoding.TextMarshaler.
func (Secret) MarshalText() ([]byte, error) { return []byte(stars), nil }
