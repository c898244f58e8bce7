/*
 * Finality of one feed: locks, certificates, holds, drafts, promises, vows and cuts.
 *
 * Four witnesses, t = 3, at most one dishonest. Three are honest and are processes here; the fourth, z, has signed every lock and
 * every hold that can be signed, from the beginning, and promises whatever suits. The author is dishonest: it forks, and hands its
 * records to whom it likes, when it likes. The office is dishonest: it drafts and cuts as it likes, within what others can check.
 * Nothing is sent: a step that is possible and not taken yet is a message under way.
 *
 * All steps only add statements, so every run ends. A run that ends badly is found where nothing more can happen, at `timeout`.
 *
 * README.md lists the parameters, which sentence of the protocol each rule is, and what the checker found.
 */

#ifndef DRAFTS
#define DRAFTS 1		/* 1 or 2: drafts the office publishes */
#endif
#ifndef SLOTS
#define SLOTS DRAFTS		/* 1 or 2: office positions that matter here */
#endif
/* Which choices are made: sets, as numbered at the end. A choice is a state space of its own; they add up. */
#ifdef HONEST_AUTHOR
#define CHOICES	3		/* 1b is not there to be adopted */
#else
#define CHOICES	7
#endif
#ifndef ADOPT0
#define ADOPT0 CHOICES
#endif
#ifndef ADOPT1
#define ADOPT1 CHOICES
#endif
#ifndef CITE0
#define CITE0 31
#endif
#ifndef CITE1
#define CITE1 31
#endif

#define N 3			/* honest witnesses; z makes four */

/* ---- Records ------------------------------------------------------------------------------------------------------------- */

/* The author's records: 1a and 1b at position 1, 2a on top of 1a. ROOT is the position before them, final from the start. */
#define A1	0
#define B1	1
#define A2	2
#define ROOT	3
#define NONE	4

#define POS(r)	((r) == ROOT -> 0 : ((r) == A2 -> 2 : 1))

/* The other record at the same position. 2a has none. */
#define RIVAL(r) ((r) == A1 -> B1 : A1)

/* What a record can come to under the final cuts. DEAD: a cut names or adopts another branch; nobody signs it any more. */
#define ACCEPTED 0
#define VOID	1
#define DEAD	2

/* A statement is about a record with a verdict; a witness's statements are a set of bits. What was signed stays signed. */
#define STMT(r, v)	(1 << (2 * (r) + (v)))
#define ANY(r)		(3 << (2 * (r)))

/* ---- State --------------------------------------------------------------------------------------------------------------- */

/* Chosen at the start. */
byte cites[3];			/* record -> set of drafts cited up to it, bit d for draft d */
byte adopts[DRAFTS];		/* draft -> A1 or B1, the branch it adopts, or NONE */
byte slot[DRAFTS];		/* draft -> the office position it is meant for, from 1 */

/* The office's feed. Its own finality is taken as given: a filled position is final, and once. */
byte filled = 0;
byte fate[3 * (SLOTS + 1)];	/* 3*k + record -> what comes of it under the cuts in the first k office positions */

/* The honest witnesses. */
byte locks[N];			/* set of STMT */
byte holds[N];			/* set of STMT */
byte known[N];			/* office positions that it knows final; positions are learnt in order, they are a chain */
byte promise[N * DRAFTS];	/* the highest position it promised, or NONE */
#define PROMISE(i, d)	promise[N * (d) + (i)]

#ifdef VOW_ENDS_ON_KNOWN
byte rival[N];			/* set of drafts for whose position the office showed another record, final or not */
#endif

#ifdef LIVE
bool stopped = false;		/* z signs nothing new and shows nothing more */
byte shown = 0;			/* certificates that somebody honest has, and so serves to everybody */
#define Z	(!stopped)
#define SHOW(r, v)	shown = shown | STMT(r, v)
#define SHOWN(r, v)	(shown & STMT(r, v))
#else
#define Z	1
#define SHOW(r, v)	skip
#define SHOWN(r, v)	0
#endif

/* ---- Counting ------------------------------------------------------------------------------------------------------------ */

#define HAS(set, r, v)		(((set) >> (2 * (r) + (v))) & 1)
#define COUNT(sets, r, v)	(HAS(sets[0], r, v) + HAS(sets[1], r, v) + HAS(sets[2], r, v))

/* t = 3 locks for one record with one verdict, z's among them. */
#define CERTIFIED(r, v)	(COUNT(locks, r, v) + Z >= 3 || SHOWN(r, v))

/* t = 3 statements of hold, z's among them; what z stated it does not take back. */
#ifdef ONE_PHASE
#define HELD_AS(r, v)	(COUNT(locks, r, v) >= 2)
#else
#define HELD_AS(r, v)	(COUNT(holds, r, v) >= 2)
#endif

/* t statements of hold, whatever the verdict. */
#define SAYS(set, r)	(HAS(set, r, ACCEPTED) | HAS(set, r, VOID))
#define HELD(r)		(SAYS(holds[0], r) + SAYS(holds[1], r) + SAYS(holds[2], r) >= 2)

/* Final, with that verdict: t statements of hold, and the predecessor is final. */
#ifdef OPEN_FINAL
#define FINAL_AS(r, v)	HELD_AS(r, v)
#else
#define FINAL_AS(r, v)	(HELD_AS(r, v) && ((r) != A2 || HELD_AS(A1, ACCEPTED) || HELD_AS(A1, VOID)))
#endif
#define FINAL(r)	(FINAL_AS(r, ACCEPTED) || FINAL_AS(r, VOID))

/* ---- Rules of an honest witness ------------------------------------------------------------------------------------------ */

/* Its verdict, under the final cuts that it knows. */
#define OWN(i, r)	fate[3 * known[i] + (r)]

/* One lock per position. Other locks there may only be the same record's, which a cut made void since, or a dead record's. */
#ifdef VOID_BESIDE_ADOPTED
#define FREE(i, set, r)	((r) == A2 || (set & ANY(RIVAL(r))) == 0 || OWN(i, RIVAL(r)) != ACCEPTED)
#else
#define FREE(i, set, r)	((r) == A2 || (set & ANY(RIVAL(r))) == 0 || OWN(i, RIVAL(r)) == DEAD)
#endif

/* What it stated for the predecessor, with today's verdict. */
#define BASE(i, set, r)	((r) != A2 || (OWN(i, A1) != DEAD && HAS(set, A1, OWN(i, A1))))

#define MAY_LOCK(i, r) \
	(OWN(i, r) != DEAD && !HAS(locks[i], r, OWN(i, r)) && FREE(i, locks[i], r) && \
	(BASE(i, locks[i], r) || BASE(i, holds[i], r)))

/* A vow lasts until its office position is known final, whatever took the position. */
#ifdef VOW_ENDS_ON_KNOWN
#define BOUND(i, d)	(PROMISE(i, d) != NONE && !(rival[i] & (1 << (d))))
#else
#define BOUND(i, d)	(PROMISE(i, d) != NONE)		/* LEARN clears it */
#endif

/* On the branch that a draft adopts: the adopted record, what it stands on, what stands on it. */
#define ON_BRANCH(r, x)	(((r) == B1) == ((x) == B1))

#ifdef ADOPTION_EXEMPTS_ALL
#define EXEMPT(r, d)	((cites[r] >> (d)) & 1)
#else
#define EXEMPT(r, d)	(((cites[r] >> (d)) & 1) && (adopts[d] == NONE || ON_BRANCH(r, adopts[d])))
#endif

#define VOW_ALLOWS(i, r, d)	(!BOUND(i, d) || POS(r) <= POS(PROMISE(i, d)) || EXEMPT(r, d))
#if DRAFTS == 1
#define VOWS_ALLOW(i, r)	VOW_ALLOWS(i, r, 0)
#else
#define VOWS_ALLOW(i, r)	(VOW_ALLOWS(i, r, 0) && VOW_ALLOWS(i, r, 1))
#endif

#ifdef HOLD_BEFORE_PREDECESSOR
#define MAY_STAND(i, r)	1
#else
#define MAY_STAND(i, r)	BASE(i, holds[i], r)
#endif

#define MAY_HOLD_AS(i, r, v) \
	(!HAS(holds[i], r, v) && CERTIFIED(r, v) && FREE(i, holds[i], r) && MAY_STAND(i, r) && VOWS_ALLOW(i, r))

#define MAY_HOLD(i, r)	(OWN(i, r) != DEAD && MAY_HOLD_AS(i, r, OWN(i, r)))

/* The highest position for which it stated hold with today's verdict. */
#ifdef HIGHEST_SIGNED
#define STANDS(i, r)	(OWN(i, r) != DEAD && HAS(locks[i], r, OWN(i, r)))
#else
#define STANDS(i, r)	(OWN(i, r) != DEAD && HAS(holds[i], r, OWN(i, r)))
#endif
#define HIGHEST(i)	(STANDS(i, A2) -> A2 : (STANDS(i, A1) -> A1 : (STANDS(i, B1) -> B1 : ROOT)))

/* It answers a draft once, when it knows all earlier office positions final and the draft's own not, and adopts nothing dead. */
#ifdef PROMISE_BEFORE_KNOWN
#define TIMELY(i, d)	(known[i] == 0)
#else
#define TIMELY(i, d)	(known[i] == slot[d] - 1)
#endif
#define MAY_PROMISE(i, d) \
	(TIMELY(i, d) && PROMISE(i, d) == NONE && (adopts[d] == NONE || OWN(i, adopts[d]) != DEAD))

/* ---- Properties ---------------------------------------------------------------------------------------------------------- */

/* Scratch: not part of the state. The names are what the checker reports. */
hidden byte S1_one_id_at_a_position;
hidden byte S2_final_stays_as_it_is;
hidden byte S3_no_lock_beside_another;
hidden byte S4_held_after_its_predecessor;
hidden byte S4_final_after_its_predecessor;
hidden byte S5_cut_counts_one_chain;
hidden byte L_chain_goes_on;
hidden byte not_reached;

/* Under all final cuts. */
#define NOW(r)	fate[3 * filled + (r)]

#define KEEPS(r) \
	((!HELD_AS(r, ACCEPTED) || NOW(r) == ACCEPTED) && (!HELD_AS(r, VOID) || NOW(r) == VOID))

#include "histories.pml"
#ifdef REACH
#define CHECK	not_reached = !(REACH); assert(not_reached)
#else
#define CHECK \
	S1_one_id_at_a_position = !(FINAL(A1) && FINAL(B1));	assert(S1_one_id_at_a_position); \
	S2_final_stays_as_it_is = KEEPS(A1) && KEEPS(B1) && KEEPS(A2);	assert(S2_final_stays_as_it_is); \
	S4_held_after_its_predecessor = !HELD(A2) || HELD(A1);	assert(S4_held_after_its_predecessor); \
	S4_final_after_its_predecessor = !FINAL(A2) || FINAL(A1);	assert(S4_final_after_its_predecessor)
#endif

/* Honest witnesses are alike: states that differ in their names only are one. Without NAMES they are kept in order. */
#ifdef NAMES
#define SORT	skip
#else
hidden byte x;
#define SWAP(a, b)	x = a; a = b; b = x
#if DRAFTS == 1
#define KEY(i)	(locks[i] + 64 * (holds[i] + 64 * (known[i] + 4 * PROMISE(i, 0))))
#define SWAP_PROMISES(i, j)	SWAP(PROMISE(i, 0), PROMISE(j, 0))
#else
#define KEY(i)	(locks[i] + 64 * (holds[i] + 64 * (known[i] + 4 * (PROMISE(i, 0) + 8 * PROMISE(i, 1)))))
#define SWAP_PROMISES(i, j)	SWAP(PROMISE(i, 0), PROMISE(j, 0)); SWAP(PROMISE(i, 1), PROMISE(j, 1))
#endif
#ifdef VOW_ENDS_ON_KNOWN
#define SWAP_RIVALS(i, j)	SWAP(rival[i], rival[j])
#else
#define SWAP_RIVALS(i, j)	skip
#endif
#define ORDER(i, j) \
	if \
	:: KEY(i) > KEY(j) -> \
		SWAP(locks[i], locks[j]); SWAP(holds[i], holds[j]); SWAP(known[i], known[j]); \
		SWAP_PROMISES(i, j); SWAP_RIVALS(i, j) \
	:: else \
	fi
#define SORT	ORDER(0, 1); ORDER(1, 2); ORDER(0, 1); x = 0
#endif

hidden byte d;

/* ---- Honest witnesses ---------------------------------------------------------------------------------------------------- */

inline lock(i, r)
{
#ifndef VOID_BESIDE_ADOPTED
	S3_no_lock_beside_another = (r == A2 || (locks[i] & ANY(RIVAL(r))) == 0 || NOW(RIVAL(r)) == DEAD);
	assert(S3_no_lock_beside_another);
#endif
	printf("w%d locks record %d as %d\n", i, r, OWN(i, r));
	locks[i] = locks[i] | STMT(r, OWN(i, r));
	CHECK; SORT
}

inline hold(i, r, v)
{
	printf("w%d holds the certificate of record %d as %d\n", i, r, v);
	SHOW(r, v);
	holds[i] = holds[i] | STMT(r, v);
	CHECK; SORT
}

inline give(i, d)
{
	printf("w%d promises draft %d with %d\n", i, d, HIGHEST(i));
	PROMISE(i, d) = HIGHEST(i);
	CHECK; SORT
}

inline learn(i)
{
	known[i]++;
	printf("w%d knows office position %d final\n", i, known[i]);
	d = 0;
	do
	:: d < DRAFTS ->
		if
		:: slot[d] <= known[i] -> PROMISE(i, d) = NONE
		:: else
		fi;
		d++
	:: else -> break
	od;
	d = 0;
	CHECK; SORT
}

proctype Witness(byte i)
{
end:	do
	:: d_step { MAY_LOCK(i, A1) -> lock(i, A1) }
	:: d_step { MAY_LOCK(i, A2) -> lock(i, A2) }
	:: d_step { MAY_HOLD(i, A1) -> hold(i, A1, OWN(i, A1)) }
	:: d_step { MAY_HOLD(i, A2) -> hold(i, A2, OWN(i, A2)) }
#ifndef HONEST_AUTHOR
	:: d_step { MAY_LOCK(i, B1) -> lock(i, B1) }
	:: d_step { MAY_HOLD(i, B1) -> hold(i, B1, OWN(i, B1)) }
#endif
	:: d_step { MAY_PROMISE(i, 0) -> give(i, 0) }
#if DRAFTS == 2
	:: d_step { MAY_PROMISE(i, 1) -> give(i, 1) }
#endif
	:: d_step { known[i] < filled -> learn(i) }
#ifdef HOLD_STALE
	/* Planted: the verdict of the certificate is not compared with its own. */
	:: d_step { MAY_HOLD_AS(i, A1, ACCEPTED) -> hold(i, A1, ACCEPTED) }
#endif
#ifdef VOW_ENDS_ON_KNOWN
	/* Planted: the office shows it another record at the draft's position. Nothing says that this one becomes final. */
	:: d_step { PROMISE(i, 0) != NONE && !(rival[i] & 1) -> rival[i] = rival[i] | 1; SORT }
#endif
	od
}

/* ---- The office, and whoever acts when it is silent ---------------------------------------------------------------------- */

hidden byte r;
hidden byte m;

#ifdef PROMISE_BEFORE_KNOWN
#define COUNTS(p)	((p) == ROOT || NOW(p) == ACCEPTED)	/* made early, and it still stands */
#else
#define COUNTS(p)	1
#endif

/* The higher of two promises. Those that count lie on one chain. */
inline raise(p)
{
#if !defined(HIGHEST_SIGNED) && !defined(PROMISE_BEFORE_KNOWN)
	S5_cut_counts_one_chain = (m == ROOT || p == ROOT || ON_BRANCH(m, p));
	assert(S5_cut_counts_one_chain);
#endif
	if
	:: POS(p) >= POS(m) && COUNTS(p) -> m = p
	:: else
	fi
}

/*
 * What the cut by draft d at m makes of record r, given what earlier cuts made of it. A cut leaves dead what is dead
 * and void what is void, so the order of cuts does not matter. An adoption counts at ROOT only: above it the maximum names the branch.
 */
#define NAMED		(m != ROOT -> m : adopts[d])
#define OFF(r)		(NAMED != NONE && !ON_BRANCH(r, NAMED))
#define KEPT(r)		(POS(r) <= POS(m) || (m == ROOT && (r) == adopts[d]) || ((cites[r] >> d) & 1))
#ifdef VOID_BESIDE_ADOPTED
#define OFFSIDE	VOID
#else
#define OFFSIDE	DEAD
#endif
#define JUDGED(r, was)	((was) == DEAD || OFF(r) -> OFFSIDE : ((was) == VOID || !KEPT(r) -> VOID : ACCEPTED))

#define CUT(draft, i, j, z) \
	printf("the cut by draft %d at %d is final\n", draft, m); \
	d = draft; \
	filled++; \
	r = 0; \
	do \
	:: r < 3 -> fate[3 * filled + r] = JUDGED(r, fate[3 * (filled - 1) + r]); r++ \
	:: else -> break \
	od; \
	r = 0; d = 0; m = 0; \
	CHECK; SORT

/* It needs t promises. z promises nothing, or shows any certificate that stands under the earlier cuts. */
#ifdef LATE_CLOSE
#define READY(d, i, j)	(filled + 1 == slot[d])
#define GIVEN(d, i)	(PROMISE(i, d) == NONE -> ROOT : PROMISE(i, d))
#else
#define READY(d, i, j)	(filled + 1 == slot[d] && PROMISE(i, d) != NONE && PROMISE(j, d) != NONE)
#define GIVEN(d, i)	PROMISE(i, d)
#endif
#ifdef HIGHEST_SIGNED
#define CLAIMS(r)	(NOW(r) != DEAD)
#else
#ifdef COUNT_STALE
#define CLAIMS(r)	(CERTIFIED(r, ACCEPTED))
#else
#define CLAIMS(r)	(NOW(r) != DEAD && CERTIFIED(r, NOW(r)))
#endif
#endif

inline cut(draft, i, j)
{
	m = ROOT; raise(GIVEN(draft, i)); raise(GIVEN(draft, j));
	CUT(draft, i, j, ROOT)
}

inline cut_with(draft, i, j, claim)
{
	m = ROOT; raise(GIVEN(draft, i)); raise(GIVEN(draft, j)); raise(claim);
	CUT(draft, i, j, claim)
}

#ifdef LIVE
/* Once z has stopped the third promise is an honest one; it is the maximum of all. */
#define PAIR(d, i, j, k) \
	:: d_step { READY(d, i, j) && Z -> cut(d, i, j) } \
	:: d_step { READY(d, i, j) && PROMISE(k, d) != NONE -> cut_with(d, i, j, PROMISE(k, d)) } \
	CLAIMED(d, i, j)
#else
#define PAIR(d, i, j, k) \
	:: d_step { READY(d, i, j) -> cut(d, i, j) } \
	CLAIMED(d, i, j)
#endif
#define CLAIMED(d, i, j) \
	:: d_step { READY(d, i, j) && Z && CLAIMS(A1) -> SHOW(A1, NOW(A1)); cut_with(d, i, j, A1) } \
	:: d_step { READY(d, i, j) && Z && CLAIMS(B1) -> SHOW(B1, NOW(B1)); cut_with(d, i, j, B1) } \
	:: d_step { READY(d, i, j) && Z && CLAIMS(A2) -> SHOW(A2, NOW(A2)); cut_with(d, i, j, A2) }

proctype Office()
{
end:	do
	PAIR(0, 0, 1, 2)
	PAIR(0, 0, 2, 1)
	PAIR(0, 1, 2, 0)
#if DRAFTS == 2
	PAIR(1, 0, 1, 2)
	PAIR(1, 0, 2, 1)
	PAIR(1, 1, 2, 0)
#endif
	/* Another record takes the position, or governance cuts the office's feed below it: void. */
	:: d_step {
		filled < SLOTS ->
		filled++;
		printf("office position %d is final and is no cut of this feed\n", filled);
		fate[3 * filled] = fate[3 * filled - 3];
		fate[3 * filled + 1] = fate[3 * filled - 2];
		fate[3 * filled + 2] = fate[3 * filled - 1];
		CHECK
	}
	od
}

#ifdef LIVE
/* z may stop for good at any time. Since it will have, at the end, only what the honest say counts there. */
proctype Stop()
{
	stopped = true
}

#define ALL(r)	(NOW(r) != DEAD && COUNT(holds, r, NOW(r)) == N)

/* Nothing more can happen: all that was sent has come. The office's positions are filled, known, and no vow binds. */
proctype End()
{
end:	timeout ->
	/* An author that did not fork is never stuck; nor is one whose fork a cut has settled. */
	L_chain_goes_on = known[0] == SLOTS && known[1] == SLOTS && known[2] == SLOTS && (
#ifdef HONEST_AUTHOR
		(ALL(A1) && ALL(A2))
#else
		(NOW(A1) != DEAD && NOW(B1) != DEAD) || ALL(B1) || (ALL(A1) && ALL(A2))
#endif
		);
	assert(L_chain_goes_on)
}
#endif

/* ---- Start --------------------------------------------------------------------------------------------------------------- */

/* Draft d adopts nothing, 1a or 1b. */
#define CHOOSE_ADOPTED(d, allow) \
	if \
	:: (allow) & 1 -> adopts[d] = NONE \
	:: (allow) & 2 -> adopts[d] = A1 \
	:: (allow) & 4 -> adopts[d] = B1 \
	fi

/* Draft d is cited by neither, by 2a, or by 1a (then 2a has cited it too); and not by 1b, or by 1b. */
#define CHOOSE_CITED(d, allow) \
	if \
	:: (allow) & 1 \
	:: (allow) & 2 -> cites[A2] = cites[A2] | (1 << d) \
	:: (allow) & 4 -> cites[A1] = cites[A1] | (1 << d); cites[A2] = cites[A2] | (1 << d) \
	fi; \
	if \
	:: (allow) & 8 \
	:: (allow) & 16 -> cites[B1] = cites[B1] | (1 << d) \
	fi

init {
	atomic {
		slot[0] = 1;
		CHOOSE_ADOPTED(0, ADOPT0);
		CHOOSE_CITED(0, CITE0);
		d_step {
			PROMISE(0, 0) = NONE; PROMISE(1, 0) = NONE; PROMISE(2, 0) = NONE;
		}
#if DRAFTS == 2
		slot[1] = SLOTS;
		CHOOSE_ADOPTED(1, ADOPT1);
		CHOOSE_CITED(1, CITE1);
		d_step {
			PROMISE(0, 1) = NONE; PROMISE(1, 1) = NONE; PROMISE(2, 1) = NONE;
		}
#endif
		run Witness(0); run Witness(1); run Witness(2); run Office();
#ifdef LIVE
		run Stop(); run End()
#endif
	}
}
