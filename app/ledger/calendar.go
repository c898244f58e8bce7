package ledger

import (
	"fmt"
	"time"
	_ "time/tzdata" // a node has to know the space's time zone, whatever machine it runs on
)

// Lengths of the periods of a schedule.
const (
	everyDay   = 1
	everyWeek  = 2
	everyMonth = 3
)

var everyNames = map[string]uint8{"day": everyDay, "week": everyWeek, "month": everyMonth}

// maxPeriod bounds the number of a period: days of some 270 years.
const maxPeriod = 100_000

// calendar counts periods of whole days in a time zone, from 1. A month begins on the day of the first one, or on its last day if it is shorter.
type calendar struct {
	first time.Time // midnight of the first day, in the zone
	every uint8
}

func newCalendar(firstDay int64, every uint8, zone string) (calendar, error) {
	loc, err := time.LoadLocation(zone)
	if err != nil || zone == "" || zone == "Local" {
		return calendar{}, fmt.Errorf("zone %q: want a name of the IANA time zone database, e.g. Europe/Berlin, or UTC", clip(zone))
	}
	y, m, d := civil(firstDay)
	return calendar{first: time.Date(y, m, d, 0, 0, 0, 0, loc), every: every}, nil
}

// start returns when the n-th period begins, n from 1; the one after it begins when it ends.
func (c calendar) start(n uint64) time.Time {
	i := int(min(n, maxPeriod+1)) - 1
	y, m, d := c.first.Date()
	switch c.every {
	case everyDay:
		d += i
	case everyWeek:
		d += 7 * i
	default:
		last := time.Date(y, m+time.Month(i)+1, 0, 0, 0, 0, 0, time.UTC)
		y, m, d = last.Year(), last.Month(), min(d, last.Day())
	}
	return time.Date(y, m, d, 0, 0, 0, 0, c.first.Location())
}

// Days are counted from 1970-01-01, without a zone: a date is the same everywhere.

const dayFormat = "2006-01-02"

func dayOf(y int, m time.Month, d int) int64 {
	return time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Unix() / (24 * 60 * 60)
}

func civil(day int64) (int, time.Month, int) {
	return time.Unix(day*24*60*60, 0).UTC().Date()
}

// parseDay reads a date such as 2026-11-01; an empty one is 0.
func parseDay(field, s string) (int64, error) {
	if s == "" {
		return 0, nil
	}
	t, err := time.Parse(dayFormat, s)
	if err != nil || t.Year() < 1970 {
		return 0, fmt.Errorf("%s %q: want a date such as 2026-11-01", field, clip(s))
	}
	return dayOf(t.Date()), nil
}

func showDay(day int64) string {
	if day == 0 {
		return ""
	}
	y, m, d := civil(day)
	return time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Format(dayFormat)
}
