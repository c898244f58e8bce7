package market

import (
	"testing"

	"pgregory.net/rapid"
)

// A rounded place is near the true one, the same for all places of its cell, and stays where it is.
func TestRound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := place{rapid.Int64Range(-80*perDegree, 80*perDegree).Draw(t, "lat"), rapid.Int64Range(-179*perDegree, 179*perDegree).Draw(t, "lon")}
		grid := uint64(rapid.IntRange(minGrid, maxGrid).Draw(t, "grid"))
		q := p.round(grid)
		if d := distance(p, q); d > int64(grid) {
			t.Errorf("moved by %d m on a grid of %d m", d, grid)
		}
		if a := (&ad{Lat: q.lat, Lon: q.lon, Grid: grid}); a.checkPlace() != nil {
			t.Errorf("%v", q)
		}
	})
	home := place{5348010, -224010}
	if a, b := home.round(1000), (place{5348050, -224050}).round(1000); a != b || a == home {
		t.Errorf("neighbours were told apart: %v, %v", a, b)
	}
}

// Distances of places that are known: within half a percent.
func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		km   int64
	}{
		{"51.5074,-0.1278", "48.8566,2.3522", 344}, {"53.48,-2.24", "53.48,-2.24", 0}, {"0,179.9", "0,-179.9", 22}, {"90,0", "-90,0", 20015}, {"-33.87,151.21", "35.68,139.65", 7820},
	} {
		a, err := parsePlace("a", c.a)
		if err != nil {
			t.Fatal(err)
		}
		b, err := parsePlace("b", c.b)
		if err != nil {
			t.Fatal(err)
		}
		got := distance(a, b)
		if off := got - c.km*1000; off < -c.km*5-500 || off > c.km*5+500 || got != distance(b, a) {
			t.Errorf("%s to %s: %d m, want about %d km", c.a, c.b, got, c.km)
		}
	}
	for _, s := range []string{"", "1", "1,2,3", "x,y", "91,0", "0,181", "NaN,0", "1e999,0"} {
		if p, err := parsePlace("at", s); err == nil {
			t.Errorf("%q is %v", s, p)
		}
	}
}
