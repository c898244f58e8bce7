package market

import (
	"math"
	"strconv"
	"strings"

	"github.com/intercooperative/icn/kernel/api"
)

// place is a point on the earth in 1/100,000 degree.
type place struct{ lat, lon int64 }

const (
	earth     = 6_371_008.8 // mean radius in metres (IUGG)
	metresLat = earth * math.Pi / 180
)

// round moves a place to the middle of its cell in a grid of cells about so many metres wide and high, so that who lives where in the cell cannot be
// told. The cell depends on the place and the width alone: asked again it is the same.
func (p place) round(grid uint64) place {
	step := float64(grid) / metresLat
	lat := snap(float64(p.lat)/perDegree, step, 90)
	lon := snap(float64(p.lon)/perDegree, step/max(math.Cos(lat*math.Pi/180), 0.01), 180)
	return place{int64(math.Round(lat * perDegree)), int64(math.Round(lon * perDegree))}
}

func snap(degrees, step, most float64) float64 {
	return min(max((math.Floor(degrees/step)+0.5)*step, -most), most)
}

// distance returns how far two places are apart along the surface, in metres, by the haversine formula: off by half a percent at most, since the earth is
// no ball.
func distance(a, b place) int64 {
	rad := func(n int64) float64 { return float64(n) / perDegree * math.Pi / 180 }
	la, lb := rad(a.lat), rad(b.lat)
	h := hav(lb-la) + math.Cos(la)*math.Cos(lb)*hav(rad(b.lon)-rad(a.lon))
	return int64(math.Round(2 * earth * math.Asin(math.Sqrt(min(h, 1)))))
}

func hav(x float64) float64 { s := math.Sin(x / 2); return s * s }

// parsePlace reads "LAT,LON" in degrees.
func parsePlace(field, s string) (place, error) {
	bad := api.Errorf("market", api.Invalid, "%s %q: want latitude and longitude in degrees, such as 53.48,-2.24", field, clip(s))
	a, b, ok := strings.Cut(s, ",")
	lat, err := strconv.ParseFloat(strings.TrimSpace(a), 64)
	lon, err2 := strconv.ParseFloat(strings.TrimSpace(b), 64)
	if !ok || err != nil || err2 != nil || !(math.Abs(lat) <= 90) || !(math.Abs(lon) <= 180) {
		return place{}, bad
	}
	return place{int64(math.Round(lat * perDegree)), int64(math.Round(lon * perDegree))}, nil
}

// String is the form that parsePlace reads.
func (p place) String() string {
	f := func(n int64) string { return strconv.FormatFloat(float64(n)/perDegree, 'f', -1, 64) }
	return f(p.lat) + "," + f(p.lon)
}
