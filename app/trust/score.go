package trust

// Score is a standing from nobody (0) to full (10000), in basis points: 10000 is 1.0.
type Score int32

// Full is the score a viewpoint gives to itself.
const Full Score = 10000

// Float returns the score as 0 to 1, for constraints and displays.
func (s Score) Float() float64 { return float64(s) / float64(Full) }

// Class is a coarse standing. The thresholds are here and nowhere else.
type Class uint8

// The classes. Source: kernel-app-separation, 3.1.
const (
	Isolated  Class = iota // below 0.1
	Known                  // from 0.1
	Partner                // from 0.4
	Federated              // from 0.7
)

// String returns the lower-case name.
func (c Class) String() string {
	return [...]string{"isolated", "known", "partner", "federated"}[min(c, Federated)]
}

// Class returns the class that a score falls into.
func (s Score) Class() Class {
	switch {
	case s >= 7000:
		return Federated
	case s >= 4000:
		return Partner
	case s >= 1000:
		return Known
	}
	return Isolated
}

// The score of T as seen from a viewpoint V.
//
// A chain is a walk V -> a -> b -> ... -> T of at most maxHops attestations, all positive but perhaps the last, through nobody whom V itself
// distrusts. Its strength is the product of its attestations (as fractions), times damping for every hop beyond the first. Its root is the first
// person on it after V: somebody V itself has attested.
//
//	support(T)    = 70 % of the strongest positive chain to T + 20 % and 10 % of the strongest ones with a second and a third root
//	opposition(T) = the same over the chains whose last attestation is negative, leaving out those whose root is T itself
//	score(T)      = 0                                                 if V distrusts T
//	              = max(what V attests of T, support - opposition)    otherwise, and never below 0
//
// Why so:
//
//   - V's own word dominates. Its distrust is final. Its positive word is a floor: nobody can talk V out of it, and since a positive attestation is
//     evidence for somebody, others may add to it. Whoever means "no" says it with a negative score. So a positive attestation by V never lowers T.
//   - Taking the strongest chain, and further ones only from other roots, is what makes fake people worthless. Asymmetric reputation by the best path
//     is sybilproof, summing over paths is not (A. Cheng, E. Friedman: Sybilproof reputation mechanisms, P2PECON 2005). Roots are chosen by V, so an
//     attacker cannot make more of them. If all chains to a crowd pass through one attestation u -> s of weight w, then each chain to the crowd is at
//     most the strongest chain to u times w, and support, a weighted mean of chains, is at most that: it carries no more however large the crowd
//     is, whatever its members say of each other, and nothing they say lifts s itself. Slander is bounded in the same way.
//   - A lone chain counts for 70 %: it never makes Federated, for one more hop costs at least 10 %. Agreement of three roots restores the rest, never
//     more than the strongest chain carries.
//   - Distrust does not travel: a negative attestation ends its chain. The enemy of an enemy gains nothing, and whom a distrusted person vouches
//     for loses nothing, unless V itself is the one who distrusts.
//
// Everything is integer arithmetic: strengths are counted in units of 1/fullStrength and rounded down at each hop, the three shares are added before
// the one division. Rounding down is monotonic, so the strongest chain is found by extending the strongest chains, and the result depends on the set
// of attestations alone, not on the order in which they came or on the machine.
const (
	maxHops      = 4           // the length of a chain, the last attestation included
	damping      = 9000        // basis points that a hop beyond the first lets through
	fullStrength = 100_000_000 // 1.0; four hops of 0.1 still leave 7290
	perPoint     = fullStrength / int64(Full)
	firstShare   = 7 // tenths of the strongest chain, and of those with other roots
	secondShare  = 2
	thirdShare   = 1
	shares       = firstShare + secondShare + thirdShare
)

// kept is how many chains with different roots a person needs: three for the shares, and one to replace a chain whose root is the target.
const kept = 4

// chain is the strongest chain with one root; strength 0 is none.
type chain struct {
	strength int32
	root     int32
}

// chains are the strongest chains to one person, with different roots, strongest first. Which of equally strong chains is kept may depend on the order
// of insertion; their strengths do not: a root that falls out is preceded by as many others at every hop from there on.
type chains [kept]chain

// offer adds a chain if it is among the strongest, and reports whether it was.
func (c *chains) offer(n chain) bool {
	if n.strength <= c[kept-1].strength {
		return false
	}
	at := 0
	for at < kept-1 && c[at].strength > 0 && c[at].root != n.root {
		at++
	}
	if c[at].root == n.root && c[at].strength >= n.strength {
		return false
	}
	for ; at > 0 && c[at-1].strength < n.strength; at-- {
		c[at] = c[at-1]
	}
	c[at] = n
	return true
}

// strength returns the weighted mean of the three strongest.
func (c *chains) strength() int64 {
	return (firstShare*int64(c[0].strength) + secondShare*int64(c[1].strength) + thirdShare*int64(c[2].strength)) / shares
}

// hop returns what is left of strength after one more attestation of weight basis points.
func hop(strength, weight int32) int32 {
	return int32(int64(strength) * int64(weight) * damping / (int64(Full) * int64(Full)))
}

// arc is one attestation as the scoring sees it: to whom, and how much in basis points, negative for distrust, never 0.
type arc struct {
	to     int32
	weight int32
}

// scoring is one computation from a viewpoint over adjacency lists.
type scoring struct {
	arcs    [][]arc
	from    int32
	barred  []bool   // the viewpoint, and whom it distrusts: no chain passes through them
	support []chains // by person
	oppose  []chains
	direct  []int32 // what the viewpoint itself says, basis points
}

// score computes the scores of all people from one viewpoint: O(maxHops * kept * attestations). It does not keep arcs.
func score(arcs [][]arc, from int32) []Score {
	s := scoring{
		arcs: arcs, from: from,
		barred:  make([]bool, len(arcs)),
		support: make([]chains, len(arcs)),
		oppose:  make([]chains, len(arcs)),
		direct:  make([]int32, len(arcs)),
	}
	s.run()
	out := make([]Score, len(arcs))
	for i := range out {
		out[i] = s.result(int32(i))
	}
	return out
}

// run finds the chains to everybody. Round k extends the chains of at most k-1 hops, as they were when the round began.
func (s *scoring) run() {
	type reached struct {
		who    int32
		chains chains
	}
	var frontier []reached
	s.barred[s.from] = true
	for _, a := range s.arcs[s.from] {
		s.direct[a.to] = a.weight
		if a.weight < 0 {
			s.barred[a.to] = true
			continue
		}
		c := chain{strength: a.weight * int32(perPoint), root: a.to}
		s.support[a.to].offer(c)
		frontier = append(frontier, reached{a.to, s.support[a.to]})
	}
	round := make([]int8, len(s.arcs)) // the last round in which a person was reached
	for k := int8(2); k <= maxHops; k++ {
		if k == maxHops {
			s.distrust()
		}
		var changed []int32
		for i := range frontier {
			f := &frontier[i]
			for _, a := range s.arcs[f.who] {
				if a.weight < 0 || s.barred[a.to] {
					continue
				}
				to := &s.support[a.to]
				for _, c := range f.chains {
					n := hop(c.strength, a.weight)
					if n <= to[kept-1].strength {
						break // the others are weaker still
					}
					if to.offer(chain{n, c.root}) && round[a.to] != k {
						round[a.to] = k
						changed = append(changed, a.to)
					}
				}
			}
		}
		frontier = frontier[:0]
		for _, who := range changed {
			frontier = append(frontier, reached{who, s.support[who]})
		}
	}
}

// distrust ends the chains of at most maxHops-1 hops with a negative attestation.
func (s *scoring) distrust() {
	for j := range s.arcs {
		if s.support[j][0].strength == 0 {
			continue
		}
		for _, a := range s.arcs[j] {
			if a.weight > 0 || s.barred[a.to] {
				continue
			}
			for _, c := range s.support[j] {
				if c.root != a.to {
					s.oppose[a.to].offer(chain{hop(c.strength, -a.weight), c.root})
				}
			}
		}
	}
}

func (s *scoring) result(who int32) Score {
	switch {
	case who == s.from:
		return Full
	case s.direct[who] < 0:
		return 0
	}
	v := s.support[who].strength() - s.oppose[who].strength()
	return max(Score(s.direct[who]), Score(v/perPoint), 0)
}
