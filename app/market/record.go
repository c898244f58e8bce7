package market

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/intercooperative/icn/app/fact"
	"github.com/intercooperative/icn/codec"
	"github.com/intercooperative/icn/kernel/api"
)

// Topic is the name of the topic that holds ads and what is done about them, in every space.
const Topic = fact.MarketTopic

// Record kinds.
const (
	kindPost     = "post"
	kindEdit     = "edit"
	kindWithdraw = "withdraw"
	kindReport   = "report"
	kindHide     = "hide"
	kindUnhide   = "unhide"
)

// Sides of an ad.
const (
	offer = "offer"
	want  = "want"
)

// Bounds of an ad.
const (
	maxTitle    = 80      // characters
	maxText     = 4 << 10 // bytes
	maxCategory = 32      // bytes
	maxCode     = 16      // bytes
	maxPrice    = 80      // characters
	maxArea     = 80      // characters
	maxImages   = 4
	maxReason   = 500 // bytes

	minGrid = 100     // metres
	maxGrid = 100_000 // metres

	// perDegree is how many units of a coordinate make a degree: one is 1.1 m or less.
	perDegree = 100_000
)

// ad is what is offered or wanted: the body of a post, and a part of an edit.
type ad struct {
	_        struct{} `cbor:",toarray"`
	Side     string   // offer or want
	Title    string
	Text     string // may have several lines, may be empty
	Category string
	Amount   int64  `say:"amount,currency"` // price hint in minor units; 0: none
	Currency string // of Amount; empty without one
	Price    string // price hint in words; may be empty
	Area     string // name; may be empty
	Lat      int64  // 1/100,000 degree, rounded to Grid
	Lon      int64
	Grid     uint64     // metres; 0: no coordinates
	Expires  int64      `say:"seconds"`
	Images   []api.Hash // of blobs
}

// edit replaces an ad of the same author.
type edit struct {
	_   struct{} `cbor:",toarray"`
	Ad  api.Hash // the post's id
	New ad
}

// withdraw takes an ad of the same author back.
type withdraw struct {
	_      struct{} `cbor:",toarray"`
	Ad     api.Hash
	Reason string // may be empty
}

// report says that something is wrong with an ad. It cites a record of the ad's author that has the ad in its past.
type report struct {
	_      struct{} `cbor:",toarray"`
	Ad     api.Hash
	Reason string
}

// act is a hide or an unhide. It cites what a report does, what shows the office, and the act before.
type act struct {
	_      struct{} `cbor:",toarray"`
	Ad     api.Hash
	After  api.Hash // the act on this ad that it follows on, the one that counts; zero: the first
	Reason string
}

func decode[T interface{ check() error }](b []byte, v T) error {
	if err := codec.Unmarshal(b, v); err != nil {
		return err
	}
	return v.check()
}

func (a *ad) check() error {
	switch {
	case a.Side != offer && a.Side != want:
		return fmt.Errorf("side %q: want offer or want", clip(a.Side))
	case !line(a.Title, maxTitle) || a.Title == "":
		return fmt.Errorf("title %q: want 1 to %d characters on one line, not starting or ending in space", clip(a.Title), maxTitle)
	case len(a.Text) > maxText || !prints(a.Text, true):
		return fmt.Errorf("text of %d bytes: want at most %d, of characters that print, and line breaks", len(a.Text), maxText)
	case !isCategory(a.Category):
		return fmt.Errorf("category %q: want 1 to %d of a-z 0-9 -", clip(a.Category), maxCategory)
	case a.Amount < 0:
		return fmt.Errorf("amount %d: want 0 or more", a.Amount)
	case a.Amount == 0 && a.Currency != "" || a.Amount > 0 && !word(a.Currency, maxCode):
		return fmt.Errorf("currency %q: want 1 to %d of a-z 0-9 - with an amount, and none without", clip(a.Currency), maxCode)
	case !line(a.Price, maxPrice):
		return fmt.Errorf("price %q: want at most %d characters on one line", clip(a.Price), maxPrice)
	case !line(a.Area, maxArea):
		return fmt.Errorf("area %q: want at most %d characters on one line", clip(a.Area), maxArea)
	case a.Expires <= 0:
		return fmt.Errorf("expires %d: want a time, in Unix seconds", a.Expires)
	}
	return errors.Join(a.checkPlace(), a.checkImages())
}

func (a *ad) checkPlace() error {
	switch {
	case a.Grid == 0 && (a.Lat != 0 || a.Lon != 0):
		return errors.New("coordinates: want the width of the grid that they are rounded to, too")
	case a.Grid != 0 && (a.Grid < minGrid || a.Grid > maxGrid):
		return fmt.Errorf("grid of %d m: want %d to %d", a.Grid, minGrid, maxGrid)
	case a.Lat < -90*perDegree || a.Lat > 90*perDegree || a.Lon < -180*perDegree || a.Lon > 180*perDegree:
		return fmt.Errorf("coordinates %d, %d: want up to 90 and 180 degrees, in 1/%d", a.Lat, a.Lon, perDegree)
	}
	return nil
}

func (a *ad) checkImages() error {
	if len(a.Images) > maxImages {
		return fmt.Errorf("images: %d, want at most %d", len(a.Images), maxImages)
	}
	for i, h := range a.Images {
		if h.IsZero() || slices.Contains(a.Images[:i], h) {
			return fmt.Errorf("image %d: want hashes of blobs, each once", i+1)
		}
	}
	return nil
}

func (e *edit) check() error { return e.New.check() }

func (w *withdraw) check() error {
	if w.Reason != "" {
		return checkReason(w.Reason)
	}
	return nil
}

func (r *report) check() error { return checkReason(r.Reason) }
func (a *act) check() error    { return checkReason(a.Reason) }

func checkReason(s string) error {
	if s == "" || len(s) > maxReason || !prints(s, false) || strings.TrimSpace(s) != s {
		return fmt.Errorf("reason: want 1 to %d bytes that print on one line", maxReason)
	}
	return nil
}

func isCategory(s string) bool { return word(s, maxCategory) }

// word reports whether s is 1 to most of a-z 0-9 -.
func word(s string, most int) bool {
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return len(s) > 0 && len(s) <= most
}

// line reports whether s is at most so many characters that print on one line, and does not begin or end in space. It may be empty.
func line(s string, most int) bool {
	return len(s) <= 4*most && utf8.RuneCountInString(s) <= most && prints(s, false) && strings.TrimSpace(s) == s
}

// prints reports whether s is text for people: no control characters, none that turn the direction of writing. Joiners are let through, since scripts and
// emoji need them, and line breaks where lines says so.
func prints(s string, lines bool) bool {
	for _, r := range s {
		if !unicode.IsPrint(r) && r != '\u200c' && r != '\u200d' && (r != '\n' || !lines) {
			return false
		}
	}
	return utf8.ValidString(s)
}

func clip(s string) string {
	if len(s) > 80 {
		return s[:80] + "..."
	}
	return s
}
