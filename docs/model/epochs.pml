/*
 * Epochs of witnesses: how one set of witnesses makes room for another (protocol 4.10, ADR 0016 and 0023).
 *
 * Each set is four witnesses, t = 3, at most one dishonest: w0 to w2 and z go, u0 to u2 and y come. z and y have signed every lock, hold, seal, start and
 * promise that can be signed, from the beginning, and show whom they like what they like, so an honest one knows of them the least that it must. The
 * author is dishonest and forks, and the registrar may name two sets at one place. What an honest one knows is the least that its record makes sure of:
 * who starts has read what the seals that it cites stand on, and nothing else. More could only keep it from signing, so no delivery is left out.
 *
 * All steps only add statements, so every run ends. finality.pml is about what happens within one epoch; here is one position and two records for it.
 */

#define N 3			/* honest witnesses in each set */

#ifndef OVERLAP
#define OVERLAP 0		/* how many of u0.. are w0.. under the same key */
#endif

/* The records at the position in question, and the two that may name the next witnesses: sets of bits. */
#define A	1
#define B	2
#define X	1
#define Y	2
#define RIVAL(r)	(3 - (r))

/* ---- State --------------------------------------------------------------------------------------------------------------- */

/* The honest witnesses that go. */
byte lock[N];			/* A, B, or neither */
byte held[N];			/* likewise */
byte shown[N];			/* set of honest witnesses, bit i for wi, whose locks it held for */
byte sealed[N];			/* for X, Y, or not */
#ifdef LEAKS
byte leaked[N];			/* what others have stated held with its key, on another branch of its feed */
#endif
#ifdef RIVALS
byte nlock[N];			/* which of the two records that name it has locked */
byte nheld[N];
#endif

/* Those that come, when X is in force. */
bool started[N];
#ifdef LEAKS
byte from[N];			/* set of honest wi whose seals it has cited */
#endif
byte free[N];			/* what, as far as it knows, no final position forbids: A, B, and ROOT to promise nothing beyond the position before */
byte newlock[N];
byte newheld[N];
bool vowed[N];			/* it has promised the position before */
bool cut = false;		/* the feed is cut there, for good */
#define ROOT	4

/* ---- Counting ------------------------------------------------------------------------------------------------------------ */

#define IS(set, r)	(((set) & (r)) != 0)
#define COUNT(sets, r)	(IS(sets[0], r) + IS(sets[1], r) + IS(sets[2], r))

/* Enough have cited a seal of wi, y among them: its feed ends there. */
#define CITED(i)	(((from[0] >> (i)) & 1) + ((from[1] >> (i)) & 1) + ((from[2] >> (i)) & 1))
#ifdef COUNT_BEYOND_SEAL
#define ENDED(i)	0
#else
#define ENDED(i)	(CITED(i) >= 2)
#endif

/* What counts of what was stated with wi's key. */
#ifdef LEAKS
#define SAID(i)		(held[i] | (ENDED(i) -> 0 : leaked[i]))
#else
#define SAID(i)		held[i]
#endif

/* t = 3, the dishonest one's word among them. */
#define CERTIFIED(r)	(COUNT(lock, r) >= 2)
#define FINAL_OLD(r)	(IS(SAID(0), r) + IS(SAID(1), r) + IS(SAID(2), r) >= 2)
#define FINAL_NEW(r)	(COUNT(newheld, r) >= 2)
#define FINAL(r)	(FINAL_OLD(r) || FINAL_NEW(r))
#define OVER(n)		(COUNT(sealed, n) >= 2)

/* ---- Properties ---------------------------------------------------------------------------------------------------------- */

hidden byte E1_one_final;
hidden byte E2_cut_spares_the_final;
hidden byte E3_one_successor;
hidden byte E4_all_seal_for_one;
hidden byte not_reached;

#ifdef REACH_BOTH_LOCKED	/* the old ones split between the two, and one of the new ones is final */
#define REACH	COUNT(lock, A) == 1 && COUNT(lock, B) == 2 && FINAL_NEW(A)
#endif
#ifdef REACH_LATE		/* final by the word of one that has not sealed, after the next have begun */
#define REACH	FINAL_OLD(A) && OVER(X) && sealed[2] == 0 && held[2] == A && started[0] && started[1]
#endif
#ifdef REACH_CUT		/* split, and cut by the new ones */
#define REACH	cut && COUNT(lock, A) >= 1 && COUNT(lock, B) >= 1
#endif
#ifdef REACH_LEAKED		/* all keys have leaked and sign, and the other record is final */
#define REACH	leaked[0] == A && leaked[1] == A && leaked[2] == A && FINAL(B) && FINAL_NEW(B)
#endif

#ifdef REACH
#define CHECK	not_reached = !(REACH); assert(not_reached)
#else
#define CHECK \
	E1_one_final = !(FINAL(A) && FINAL(B)); assert(E1_one_final); \
	E2_cut_spares_the_final = !(cut && (FINAL(A) || FINAL(B))); assert(E2_cut_spares_the_final); \
	E3_one_successor = !(OVER(X) && OVER(Y)); assert(E3_one_successor); \
	E4_all_seal_for_one = !(COUNT(sealed, X) >= 1 && COUNT(sealed, Y) >= 1); assert(E4_all_seal_for_one)
#endif

/* ---- Those that go ------------------------------------------------------------------------------------------------------- */

#ifdef SIGNS_AFTER_SEAL
#define SPEAKS(i)	1
#else
#define SPEAKS(i)	(sealed[i] == 0)
#endif

inline state(i, r)
{
	printf("w%d locks %d\n", i, r);
	lock[i] = r;
	CHECK
}

/* It holds for its own reading of the locks: those of a and b, and z's. */
inline hold(i, r, a, b)
{
	printf("w%d holds %d for the locks of w%d, w%d and z\n", i, r, a, b);
	held[i] = r; shown[i] = (1 << (a)) | (1 << (b));
	CHECK
}

#define HOLDS(i, r, a, b)	SPEAKS(i) && held[i] == 0 && lock[a] == r && lock[b] == r

inline seal(i, n)
{
	printf("w%d seals for %d\n", i, n);
	sealed[i] = n;
	CHECK
}

/* When it seals: the record is final, which z's word may complete. Without RIVALS there is one such record, and it is final. */
#ifdef RIVALS
#ifdef SEALS_UNSETTLED
#define SETTLED(n)	(COUNT(nlock, n) >= 1)
#else
#define SETTLED(n)	(COUNT(nheld, n) >= 2)
#endif
#else
#define SETTLED(n)	((n) == X)
#endif

proctype Old(byte i)
{
end:	do
#ifndef RIVALS
#ifndef LEAKS			/* there A is what nobody locked while the keys were guarded */
	:: d_step { SPEAKS(i) && lock[i] == 0 -> state(i, A) }
#endif
	:: d_step { SPEAKS(i) && lock[i] == 0 -> state(i, B) }
	:: d_step { HOLDS(i, A, 0, 1) -> hold(i, A, 0, 1) }
	:: d_step { HOLDS(i, A, 0, 2) -> hold(i, A, 0, 2) }
	:: d_step { HOLDS(i, A, 1, 2) -> hold(i, A, 1, 2) }
	:: d_step { HOLDS(i, B, 0, 1) -> hold(i, B, 0, 1) }
	:: d_step { HOLDS(i, B, 0, 2) -> hold(i, B, 0, 2) }
	:: d_step { HOLDS(i, B, 1, 2) -> hold(i, B, 1, 2) }
#else
	:: d_step { SPEAKS(i) && nlock[i] == 0 -> nlock[i] = X; CHECK }
	:: d_step { SPEAKS(i) && nlock[i] == 0 -> nlock[i] = Y; CHECK }
	:: d_step { SPEAKS(i) && nheld[i] == 0 && COUNT(nlock, X) >= 2 -> nheld[i] = X; CHECK }
	:: d_step { SPEAKS(i) && nheld[i] == 0 && COUNT(nlock, Y) >= 2 -> nheld[i] = Y; CHECK }
	:: d_step { sealed[i] == 0 && SETTLED(Y) -> seal(i, Y) }
#endif
	:: d_step { sealed[i] == 0 && SETTLED(X) -> seal(i, X) }
	od
}

#ifdef LEAKS
/*
 * A key that leaks signs beside its feed. It may once enough of the new witnesses have cited the seal; a key that leaks before makes its witness one of
 * the dishonest.
 */
#ifdef LEAKS_EARLY
#define STOLEN(i)	(sealed[i] != 0)
#else
#define STOLEN(i)	(CITED(i) >= 2)
#endif

proctype Thief(byte i)
{
end:	do
	:: d_step { STOLEN(i) && leaked[i] == 0 -> leaked[i] = A; CHECK }
	od
}
#endif

/* ---- Those that come ----------------------------------------------------------------------------------------------------- */

/* What it knows of the locks of r from the seals of wi and wj: theirs, and those that one of them has held for. z shows it none. */
#define OF(i, r)	((lock[i] == (r) -> 1 << (i) : 0) | (held[i] == (r) -> shown[i] : 0))
#define KNOWN(i, j, r)	(OF(i, r) | OF(j, r))
#define SIZE(set)	(((set) & 1) + (((set) >> 1) & 1) + (((set) >> 2) & 1))

/*
 * What was held one of those with a seal has held, and t have locked, t - f of them honest: no such word of theirs can be taken back. The rule of
 * ADR 0016 asked for the locks of t, and one who lies can lock the other record later in one feed, or on another branch of it.
 */
#ifdef LOCKS_OF_ALL
#define MAY_BE_FINAL(i, j, r)	(SIZE(KNOWN(i, j, r)) >= 3)
#else
#define MAY_BE_FINAL(i, j, r)	((held[i] == (r) || held[j] == (r)) && SIZE(KNOWN(i, j, r)) >= 2)
#endif

inline start(k, i, j)
{
	printf("u%d starts with the seals of w%d, w%d and z\n", k, i, j);
	started[k] = true;
#ifdef LEAKS
	from[k] = (1 << (i)) | (1 << (j));
#endif
#ifdef FORGETS
	free[k] = A | B | ROOT;
#else
	free[k] = (MAY_BE_FINAL(i, j, B) -> 0 : A) | (MAY_BE_FINAL(i, j, A) -> 0 : B) |
		(MAY_BE_FINAL(i, j, A) || MAY_BE_FINAL(i, j, B) -> 0 : ROOT);
#endif
	CHECK
}

#ifdef SEALS_OF_FEWER
#define READY(k, i, j)	!started[k] && sealed[i] == X		/* one and z's: t - 1 */
#else
#define READY(k, i, j)	!started[k] && sealed[i] == X && sealed[j] == X
#endif
/* One that stays has sealed before, and counts its own. */
#define OWN(k, i, j)	((k) >= OVERLAP || (i) == (k) || (j) == (k))

proctype New(byte k)
{
end:	do
#ifdef SEALS_OF_FEWER
	:: d_step { READY(k, 0, 0) -> start(k, 0, 0) }
	:: d_step { READY(k, 1, 1) -> start(k, 1, 1) }
	:: d_step { READY(k, 2, 2) -> start(k, 2, 2) }
#else
	:: d_step { READY(k, 0, 1) && OWN(k, 0, 1) -> start(k, 0, 1) }
	:: d_step { READY(k, 0, 2) && OWN(k, 0, 2) -> start(k, 0, 2) }
	:: d_step { READY(k, 1, 2) && OWN(k, 1, 2) -> start(k, 1, 2) }
#endif
#ifdef LEAKS
	/* A seal that it cites later. */
	:: d_step { started[k] && sealed[0] == X && !IS(from[k], 1) -> from[k] = from[k] | 1; CHECK }
	:: d_step { started[k] && sealed[1] == X && !IS(from[k], 2) -> from[k] = from[k] | 2; CHECK }
	:: d_step { started[k] && sealed[2] == X && !IS(from[k], 4) -> from[k] = from[k] | 4; CHECK }
#endif
	:: d_step { started[k] && newlock[k] == 0 && IS(free[k], A) -> newlock[k] = A; CHECK }
	:: d_step { started[k] && newlock[k] == 0 && IS(free[k], B) -> newlock[k] = B; CHECK }
	:: d_step { started[k] && newheld[k] == 0 && !vowed[k] && COUNT(newlock, A) >= 2 -> newheld[k] = A; CHECK }
	:: d_step { started[k] && newheld[k] == 0 && !vowed[k] && COUNT(newlock, B) >= 2 -> newheld[k] = B; CHECK }
#ifndef LEAKS			/* keys and cuts are searched apart */
	:: d_step { started[k] && newheld[k] == 0 && !vowed[k] && IS(free[k], ROOT) -> vowed[k] = true; CHECK }
#endif
	od
}

proctype Registrar()
{
end:	do
	:: d_step { !cut && vowed[0] + vowed[1] + vowed[2] >= 2 -> cut = true; printf("the feed is cut before the position\n"); CHECK }
	od
}

init {
	atomic {
		run Old(0); run Old(1); run Old(2);
#ifndef RIVALS
		run New(0); run New(1); run New(2); run Registrar();
#ifdef LEAKS
		run Thief(0); run Thief(1); run Thief(2);
#endif
#endif
	}
}
