package ledger

import (
	"fmt"
	"time"

	"github.com/intercooperative/icn/kernel/api"
)

// Period is what part of an account's life is meant. Dates are days in Zone, and both are meant with it.
type Period struct {
	From string `json:"from,omitempty" doc:"First day, YYYY-MM-DD; default: from the beginning" example:"2026-11-01"`
	To   string `json:"to,omitempty" doc:"Last day, YYYY-MM-DD; default: today" example:"2026-11-30"`
	Zone string `json:"zone,omitempty" doc:"Time zone in which days begin and end, as the IANA names it; default UTC" example:"Europe/Madrid"`
}

// span is a period as times.
type span struct {
	from, to time.Time // from is inclusive, zero: the beginning; to is exclusive
	zone     *time.Location
}

// years that dates may be of: those that a timestamp can hold, and that have four digits.
const (
	firstYear = 1970
	lastYear  = 9998
)

func (p *Period) check() error {
	_, err := p.span(time.Unix(0, 0))
	return err
}

func (p *Period) span(now time.Time) (s span, err error) {
	if s.zone, err = loadZone(p.Zone); err != nil {
		return s, err
	}
	if p.From != "" {
		if s.from, err = s.day("from", p.From); err != nil {
			return s, err
		}
	}
	if p.To != "" {
		last, err := s.day("to", p.To)
		if err != nil {
			return s, err
		}
		s.to = nextDay(last)
	} else {
		y, m, d := now.In(s.zone).Date()
		s.to = startOf(y, m, d+1, s.zone)
	}
	if p.To != "" && !s.from.Before(s.to) {
		return s, fmt.Errorf("from %s: want a day that is not after %s", p.From, p.To)
	}
	if s.to.Before(s.from) {
		s.to = s.from
	}
	return s, nil
}

func (s *span) day(field, text string) (time.Time, error) {
	t, err := time.Parse(time.DateOnly, text)
	if err != nil || t.Year() < firstYear || t.Year() > lastYear {
		return t, fmt.Errorf("%s %q: want a day from %d to %d as YYYY-MM-DD", field, clip(text), firstYear, lastYear)
	}
	y, m, d := t.Date()
	return startOf(y, m, d, s.zone), nil
}

// key is a time as it stands in the keys of history rows; what is before 1970 or nothing is the beginning.
func key(t time.Time) []byte {
	if t.IsZero() || t.UnixMilli() < 0 {
		return api.Seq8(0)
	}
	return api.Seq8(uint64(api.MakeTimestamp(t.UnixMilli(), 0)))
}
