/*
 * The short histories: for each the state in which it turns. `spin -a -DDRAFT_CITED ...` asks whether that state can be reached; it
 * must be, else a rule that seems to hold would hold of nothing. What must not follow is what S1 to S5 say, and the planted
 * mistakes show that it would. The one draft is draft 0; "1a at 0 cut" reads: the final cut names ROOT.
 */
#define SOME(p)		((p(0)) || (p(1)) || (p(2)))
#define HAD(r, v)	(COUNT(holds, r, v) >= 1)
#define CUT_AT_ROOT	(filled == 1 && fate[3 + B1] == VOID)		/* 1b does not cite, so nothing else makes it void */
#define VOWED(i)	(PROMISE(i, 0) == ROOT && known[i] == 0)
/* The vow, and it alone, keeps i from holding 1a, which another one holds. */
#define KEPT_BY_VOW(i)	(VOWED(i) && HAD(A1, ACCEPTED) && CERTIFIED(A1, ACCEPTED) && !HAS(holds[i], A1, ACCEPTED) && \
			FREE(i, holds[i], A1) && !VOWS_ALLOW(i, A1) && !MAY_HOLD(i, A1))

/* 1a cites the draft and became final under the vows; the cut at ROOT leaves it accepted. */
#ifdef DRAFT_CITED
#define REACH	CUT_AT_ROOT && FINAL_AS(A1, ACCEPTED) && NOW(A1) == ACCEPTED
#endif

/* 1a, held by one, was made void; that becomes final, and 2a after it. */
#ifdef VOW_ENDS
#define REACH	CUT_AT_ROOT && HAD(A1, ACCEPTED) && FINAL_AS(A1, VOID) && FINAL_AS(A2, ACCEPTED)
#endif

/* Knows the cut, is free of its vow, meets the old certificate: nothing but its own verdict keeps it from holding. */
#ifdef STALE_CERTIFICATE
#define MEETS(i)	known[i] == 1 && OWN(i, A1) == VOID && MAY_HOLD_AS(i, A1, ACCEPTED)
#define REACH	CUT_AT_ROOT && HAD(A1, ACCEPTED) && SOME(MEETS)
#endif

/* No record is final at the draft's position, whatever the office shows: the vow stands. */
#ifdef RIVAL_SHOWN
#define REACH	filled == 0 && SOME(KEPT_BY_VOW)
#endif

/* The cut is final, and one that promised does not know it: the vow stands, whatever it heard of the office since. */
#ifdef OFFICE_CUT
#define REACH	CUT_AT_ROOT && NOW(A1) == VOID && SOME(KEPT_BY_VOW)
#endif

/* 1a cites the draft and is held by one; the cut adopts 1b at ROOT; 1b becomes final. */
#ifdef ADOPTION
#define REACH	filled == 1 && HAD(A1, ACCEPTED) && NOW(A1) == DEAD && FINAL_AS(B1, ACCEPTED)
#endif

/* 2a cites the draft, its vow allows it, but not the 1a below: it holds neither. */
#ifdef VOID_BASE
#define STANDS_ON_NOTHING(i)	VOWED(i) && HAD(A2, ACCEPTED) && CERTIFIED(A2, ACCEPTED) && \
			VOWS_ALLOW(i, A2) && !VOWS_ALLOW(i, A1) && !MAY_HOLD(i, A2)
#define REACH	SOME(STANDS_ON_NOTHING)
#endif

/* The office stopped after its draft, its feed is cut, its position is final as void: who promised may hold once it knows. */
#ifdef SILENT_OFFICE
#define WAITS(i)	KEPT_BY_VOW(i) && OWN(i, A1) == ACCEPTED
#define REACH	filled == 1 && fate[3 + A1] == ACCEPTED && fate[3 + B1] == ACCEPTED && SOME(WAITS)
#endif
