package ledger

import (
	"fmt"
	"sort"
	"time"
)

// Units of a standing order's period.
const (
	unitDays   = "days"
	unitWeeks  = "weeks"
	unitMonths = "months"
)

const (
	maxEvery   = 366     // units in a period
	maxPeriods = 100_000 // of an order, ever
	maxZone    = 64      // bytes of a time zone's name
)

// timetable says when the periods of a standing order begin: at the start of a day in a time zone.
type timetable struct {
	first time.Time // a date, at 00:00 UTC
	every int
	unit  string
	zone  *time.Location
}

// date is the day on which period n, from 1, begins, as a date at 00:00 UTC. Months are counted from the first date, so that the 31st is the last day of
// a shorter month and the 31st again in the next.
func (s *timetable) date(n int) time.Time {
	k := (n - 1) * s.every
	y, m, d := s.first.Date()
	switch s.unit {
	case unitWeeks:
		return s.first.AddDate(0, 0, 7*k)
	case unitMonths:
		last := time.Date(y, m+time.Month(k)+1, 0, 0, 0, 0, 0, time.UTC).Day()
		return time.Date(y, m+time.Month(k), min(d, last), 0, 0, 0, 0, time.UTC)
	}
	return s.first.AddDate(0, 0, k)
}

// begins is when the day of period n begins in the order's time zone. Where a change of clocks leaves midnight out, the day begins later.
func (s *timetable) begins(n int) time.Time {
	y, m, d := s.date(n).Date()
	t := time.Date(y, m, d, 0, 0, 0, 0, s.zone)
	for t.Day() != d {
		t = t.Add(time.Hour).Truncate(time.Hour)
	}
	return t
}

// due is how many periods have begun by now, at most maxPeriods.
func (s *timetable) due(now time.Time) int {
	return sort.Search(maxPeriods, func(i int) bool { return s.begins(i + 1).After(now) })
}

// parseDate reads a day such as 2026-01-31.
func parseDate(field, text string) (time.Time, error) {
	t, err := time.Parse(time.DateOnly, text)
	if err != nil || t.Year() < 1970 || t.Year() > 9000 {
		return t, fmt.Errorf("%s %q: want a day such as 2026-01-31", field, clip(text))
	}
	return t, nil
}
