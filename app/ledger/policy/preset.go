package policy

import "fmt"

// Preset is a rule that many co-ops can begin with, in whole units of a currency.
type Preset struct {
	Name string
	For  string // whom it suits, one sentence
	Rule Rule
	Warn int64 // share of a limit, of Whole, from which on an account is warned
}

// Presets lists the presets. The figures are those with which the design's economy was simulated, 100 agents over 12 months: a start of 20, a most of 500, a
// ramp of 90 days; for the permissive one five times as much in a third of the time.
func Presets() []Preset {
	return []Preset{
		{
			Name: "conservative", For: "a new co-op, or one whose members do not know each other well",
			Rule: Rule{Start: 20, Base: 100, Max: 500, Ramp: 90, Growth: 5, Per: 100, Trust: 3000}, Warn: 8000,
		},
		{
			Name: "permissive", For: "an established co-op whose members trust each other",
			Rule: Rule{Start: 100, Base: 500, Max: 2500, Ramp: 30, Growth: 15, Per: 100, Trust: 5000}, Warn: 8000,
		},
	}
}

// Find returns the preset of a name, its amounts in minor units of a currency with so many decimals, 0 to 6.
func Find(name string, scale uint8) (Preset, error) {
	var names []string
	for _, p := range Presets() {
		if p.Name == name {
			unit := int64(1)
			for range min(scale, 6) {
				unit *= 10
			}
			for _, n := range []*int64{&p.Rule.Start, &p.Rule.Base, &p.Rule.Max, &p.Rule.Growth, &p.Rule.Per} {
				*n *= unit
			}
			return p, nil
		}
		names = append(names, p.Name)
	}
	return Preset{}, fmt.Errorf("preset %q: want one of %q", name, names)
}
