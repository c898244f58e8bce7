package ledger

import (
	"fmt"
	"sort"
	"time"
	_ "time/tzdata" // a node has to know the space's time zone, whatever machine it runs on
)

// Units of periods.
const (
	everyDay   = "day"
	everyWeek  = "week"
	everyMonth = "month"
)

const (
	maxEvery   = 366     // units in a period
	maxPeriods = 100_000 // of an order or a schedule, ever: days of some 270 years
	maxZone    = 64      // bytes of a time zone's name
)

// calendar says when periods begin, counted from 1: at the start of a day in a time zone.
type calendar struct {
	first time.Time // a date, at 00:00 UTC
	every int
	unit  string
	zone  *time.Location
}

func newCalendar(first string, every int, unit, zone string) (*calendar, error) {
	loc, err := loadZone(zone)
	if err != nil {
		return nil, err
	}
	date, err := parseDate("first", first)
	return &calendar{first: date, every: every, unit: unit, zone: loc}, err
}

// date is the day on which period n begins, as a date at 00:00 UTC. Months are counted from the first date, so that the 31st is the last day of a shorter month
// and the 31st again in the next.
func (c *calendar) date(n int) time.Time {
	k := (n - 1) * c.every
	y, m, d := c.first.Date()
	switch c.unit {
	case everyWeek:
		return c.first.AddDate(0, 0, 7*k)
	case everyMonth:
		last := time.Date(y, m+time.Month(k)+1, 0, 0, 0, 0, 0, time.UTC).Day()
		return time.Date(y, m+time.Month(k), min(d, last), 0, 0, 0, 0, time.UTC)
	}
	return c.first.AddDate(0, 0, k)
}

// begins is when period n begins; the one before it ends then.
func (c *calendar) begins(n int) time.Time {
	y, m, d := c.date(n).Date()
	return startOf(y, m, d, c.zone)
}

// due is how many periods have begun by now, at most maxPeriods.
func (c *calendar) due(now time.Time) int {
	return sort.Search(maxPeriods, func(i int) bool { return c.begins(i + 1).After(now) })
}

// after returns when a day of the calendar's zone is over.
func (c *calendar) after(day string) (time.Time, error) {
	t, err := parseDate("last", day)
	y, m, d := t.Date()
	return startOf(y, m, d+1, c.zone), err
}

// startOf is when a day begins: at midnight, or later where a change of clocks leaves midnight out. The day may be beyond the end of the month.
func startOf(y int, m time.Month, d int, zone *time.Location) time.Time {
	y, m, d = time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Date()
	t := time.Date(y, m, d, 0, 0, 0, 0, zone)
	for t.Day() != d {
		t = t.Add(time.Hour).Truncate(time.Hour)
	}
	return t
}

// nextDay is the beginning of the day after, which is not always 24 hours later.
func nextDay(t time.Time) time.Time {
	y, m, d := t.Date()
	return startOf(y, m, d+1, t.Location())
}

// parseDate reads a day such as 2026-01-31.
func parseDate(field, text string) (time.Time, error) {
	t, err := time.Parse(time.DateOnly, text)
	if err != nil || t.Year() < 1970 || t.Year() > 9000 {
		return t, fmt.Errorf("%s %q: want a day such as 2026-01-31", field, clip(text))
	}
	return t, nil
}

// loadZone finds a time zone by the name that the IANA has for it; "" is UTC. The zone of the machine is none: another node is elsewhere.
func loadZone(name string) (*time.Location, error) {
	if len(name) <= maxZone && name != "Local" {
		if zone, err := time.LoadLocation(name); err == nil {
			return zone, nil
		}
	}
	return nil, fmt.Errorf("zone %q: want UTC or a name of the IANA time zone database, such as Europe/Vienna", clip(name))
}
