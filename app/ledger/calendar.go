package ledger

import (
	"fmt"
	"time"
	_ "time/tzdata" // a node has to know the space's time zone, whatever machine it runs on
)

// Lengths of the periods of a schedule.
const (
	everyDay   = "day"
	everyWeek  = "week"
	everyMonth = "month"
)

// maxPeriod bounds the number of a period: days of some 270 years.
const maxPeriod = 100_000

// calendar counts periods of whole days in a time zone, from 1. A month begins on the day of the first one, or on its last day if it is shorter.
type calendar struct {
	first time.Time // midnight of the first day, in the zone
	every string
}

func newCalendar(firstDay, every, zone string) (calendar, error) {
	loc, err := time.LoadLocation(zone)
	if err != nil || zone == "" || zone == "Local" {
		return calendar{}, badZone(zone)
	}
	first, err := time.ParseInLocation(time.DateOnly, firstDay, loc)
	if err != nil {
		return calendar{}, fmt.Errorf("first %q: want a date such as 2026-11-01", clip(firstDay))
	}
	return calendar{first: first, every: every}, nil
}

func badZone(zone string) error {
	return fmt.Errorf("zone %q: want a name of the IANA time zone database, e.g. Europe/Berlin, or UTC", clip(zone))
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

// after returns when a day of the calendar's zone is over.
func (c calendar) after(day string) (time.Time, error) {
	t, err := time.ParseInLocation(time.DateOnly, day, c.first.Location())
	return t.AddDate(0, 0, 1), err
}
