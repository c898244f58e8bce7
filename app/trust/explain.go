package trust

// path is one chain as a person can read it: from the viewpoint's first choice to the target, and how strong it is in units of
// 1/fullStrength, negative when it ends in distrust.
type path struct {
	via      []int32 // the people between viewpoint and target, in order
	strength int32
}

// explain returns the chains that made up to's score from a viewpoint: up to three for, then up to three against, strongest first. A direct
// attestation is a chain without anybody between. Of equally strong chains it shows any.
func explain(arcs [][]arc, from, to int32) []path {
	s := scoring{
		arcs: arcs, from: from,
		barred:  make([]bool, len(arcs)),
		support: make([]chains, len(arcs)),
		oppose:  make([]chains, len(arcs)),
		direct:  make([]int32, len(arcs)),
	}
	s.run()
	if w := s.direct[to]; w < 0 {
		return []path{{strength: w * int32(perPoint)}} // nothing else counts
	}
	var out []path
	for _, c := range s.support[to][:kept-1] {
		if c.strength > 0 {
			out = append(out, s.trace(c, to))
		}
	}
	for _, c := range s.oppose[to][:kept-1] {
		if c.strength > 0 {
			p := s.trace(chain{-c.strength, c.root}, to)
			out = append(out, p)
		}
	}
	return out
}

// trace finds the people on a chain of known root and strength, by walking forward from the root alone and remembering who came before.
func (s *scoring) trace(c chain, to int32) path {
	p := path{strength: c.strength}
	if c.root == to && c.strength > 0 {
		return p
	}
	best := make([]int32, len(s.arcs)) // strength after k hops, from the root
	best[c.root] = s.direct[c.root] * int32(perPoint)
	var before [maxHops + 1][]int32
	for k := 2; k <= maxHops; k++ {
		before[k] = make([]int32, len(s.arcs))
		next := make([]int32, len(s.arcs))
		for j, strength := range best {
			if strength == 0 {
				continue
			}
			for _, a := range s.arcs[j] {
				end := a.to == to && (a.weight < 0) == (c.strength < 0)
				if end && hop(strength, max(a.weight, -a.weight)) == max(c.strength, -c.strength) {
					return s.unwind(p, before, k, int32(j))
				}
				if a.weight < 0 || s.barred[a.to] {
					continue
				}
				if n := hop(strength, a.weight); n > next[a.to] {
					next[a.to], before[k][a.to] = n, int32(j)
				}
			}
		}
		best = next
	}
	return p
}

// unwind fills the path whose last person before the target is last, reached after k-1 hops.
func (s *scoring) unwind(p path, before [maxHops + 1][]int32, k int, last int32) path {
	p.via = make([]int32, k-1)
	for i := k - 2; i >= 0; i-- {
		p.via[i] = last
		if i > 0 {
			last = before[i+1][last]
		}
	}
	return p
}
