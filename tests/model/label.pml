/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * label: who owns the set: R5 of Documentation/design.rst as engine/{plan,activate,steward,lease}.c and core/label.c do
 * it. Nodes that start, restart with their SSD, take over, die at any step or are only slow; each has a place of two
 * copies in the label area, which it writes in turn. A write of a copy has a beginning, after which it is torn, and
 * an end; then the node reads all places in one step, and acts in a third. One block, degree 1: what is
 * replicated where, and what a recovery finds, is as simple here as it can be; block.pml has the rest.
 *
 * Node 0 owns the set in the beginning, with an SSD; the others come with blank metadata. Nobody asks whether a peer
 * hears another owner, and nobody stops a node: what is shown holds also for a taker that was told `fenced` too early,
 * as long as the clocks run (the lease).
 *
 * Sizes: -DNODES=, -DPEERS=, -DF= (a node dies, a peer is cut off from a node), -DMAXV= writes, -DMAXG= generations,
 * -DVX= changes of a view. -DUSURP=0: nobody restarts above a taker that is stuck, as today. -DBASE: what is not in
 * the code yet, a label that also says up to which generation somebody got beyond taking; without it a violation is found.
 * -DNO_... takes a rule away; cases.py has the list. -DSEEN=n fails in a state of interest.
 */
#ifndef NODES
#define NODES 2
#endif
#ifndef PEERS
#define PEERS 2
#endif
#ifndef F
#define F 2
#endif
#ifndef MAXV
#define MAXV 3
#endif
#ifndef MAXG
#define MAXG 4
#endif
#ifndef VX
#define VX 3
#endif
#ifndef USURP
#define USURP 1
#endif
#ifndef SEEN
#define SEEN 0
#endif

#define BLANK	0	/* enum circle_label_state; BLANK: torn, or never written */
#define TAKING	1
#define RECOVERING	2
#define ACTIVE	3

/* What a node is at. A label write: begun, then written, then looked at. */
#define OFF	0
#define PLANNED	1	/* circle_activate_plan() */
#define CLAIMS	2	/* take_label(): the first write has begun */
#define CLAIMED	3
#define AGAIN	4	/* the second */
#define CLAIMED2	5
#define TOOK	6	/* peers are fenced */
#define WAITED	7	/* the lease of the old owner is over */
#define SAYS	8	/* recovering */
#define SAID	9
#define DRAINS	10
#define DROPS	11
#define OPENS	12	/* open_label() */
#define OPENED	13
#define LIVE	14
#define CHANGES	15	/* change_view() */
#define CHANGED	16

#define TAKE	0	/* enum circle_start */
#define RESTART	1

#define NOBODY	255
#define AT(i, k)	(2 * (i) + (k))

/* The label area: two copies for each node, and which of them was written last. */
byte state[2 * NODES], gen[2 * NODES], view[2 * NODES];
byte base[2 * NODES];		/* not in the code; see BASE */
bit unseen[2 * NODES], ssd[2 * NODES], vacant[2 * NODES];
bit last[NODES];

/* The origin and the peers. */
byte origin;			/* version */
byte fgen[PEERS], fnode[PEERS];	/* FENCE: the rightful, durably */
byte rgen[PEERS], rver[PEERS];	/* replica; generation 0: none */
byte cut[NODES];		/* peers that the node does not reach */

/* The nodes: metadata and SSD, which stay. */
byte mgen[NODES], mnext[NODES];	/* generation, next_generation; 0: blank */
byte mver[NODES];		/* dirty version; 0: nothing */

/* Memory. */
byte at[NODES];
bit start[NODES], usurped[NODES];
byte sgen[NODES], snode[NODES]; bit sunseen[NODES];	/* circle->seen: the label that was planned with */
byte ogen[NODES], onode[NODES], oview[NODES], obase[NODES];		/* circle->found: the label that counts */
bit ossd[NODES], oempty[NODES], otaking[NODES];
byte mygen[NODES];
byte myview[NODES], want[NODES];	/* circle->view; the one that is being written */
byte dirty[NODES];		/* version, if it is */
byte held[NODES];		/* peers that hold it */
bit lease[NODES];		/* the last look is young enough */

/* Not known to anybody. */
byte nextv, ack, faults, changes;

hidden byte xi, xk, xg, xn, xe, xv, xp, xb;
hidden byte xt, xl, xu;

#define EACH(v, max, cmd)	v = 0; do :: v < max -> cmd; v++ :: else -> break od; v = 0

/* circle_label_newest(): xk, or NOBODY. */
inline newest(i, but)
{
	xk = last[i];
	if
	:: state[AT(i, xk)] != BLANK && !(but && unseen[AT(i, xk)]) -> xk = AT(i, xk)
	:: else ->
		if
		:: state[AT(i, 1 - xk)] != BLANK && !(but && unseen[AT(i, 1 - xk)]) -> xk = AT(i, 1 - xk)
		:: else -> xk = NOBODY
		fi
	fi
}

/* Of two of one generation one that is only taking has withdrawn, or will; else the activation, a random number. */
#ifdef NO_R5_TAKING
#define BEATS(k, g, s)	(gen[k] >= (g))
#else
#define BEATS(k, g, s)	(gen[k] > (g) || (gen[k] == (g) && ((s) == TAKING || state[k] != TAKING)))
#endif

/* circle_label_judge(): xg, xn, xe, xu; xt: a tie; xl: of two that are not only taking. */
inline judge(but)
{
	xg = 0; xn = NOBODY; xe = BLANK; xt = 0; xl = 0; xu = 0; xb = NOBODY;
	EACH(xi, NODES,
		newest(xi, but);
		if
		:: xk != NOBODY && gen[xk] >= xg ->
			xt = (gen[xk] == xg);
			xl = (xt && (xl || (state[xk] != TAKING && xe != TAKING)));
			if
			:: BEATS(xk, xg, xe) -> xg = gen[xk]; xn = xi; xe = state[xk]; xu = unseen[xk]; xb = xk
			:: else
			fi
		:: else
		fi)
}

#define OWNS(i)	(at[i] == LIVE || at[i] == CHANGES || at[i] == CHANGED)

/* circle_label_look(): is it ours? Into xv. */
inline look(i)
{
	judge(0);
	/* An owner is not ended by one that takes only now, and has yet to look. */
	if :: OWNS(i) -> xt = xl :: else fi;
#ifdef NO_R5_TIE
	xt = 0;
#endif
	xv = (xg == mygen[i] && xn == i && !xt);
	if :: xv -> lease[i] = 1 :: else fi
}

/* A write of the own place begins: not over the newest copy that is whole. */
inline begin(i)
{
	newest(i, 0);
	if :: xk != NOBODY -> last[i] = xk - 2 * i :: else -> last[i] = 1 fi;
#ifdef NO_R5_COPIES
	last[i] = 1 - last[i];
#endif
	state[AT(i, 1 - last[i])] = BLANK
}

inline put(i, s, v, u, d, e, o)
{
	last[i] = 1 - last[i];
	xk = AT(i, last[i]);
	gen[xk] = mygen[i]; state[xk] = s; view[xk] = v; unseen[xk] = u; ssd[xk] = d; vacant[xk] = e; base[xk] = o
}

/* It dies, or ends in an error: what is in flight stays torn. */
inline stop(i)
{
	start[i] = 0; usurped[i] = 0; sgen[i] = 0; snode[i] = 0; sunseen[i] = 0; ogen[i] = 0; onode[i] = 0; oview[i] = 0;
	obase[i] = 0; ossd[i] = 0; oempty[i] = 0; otaking[i] = 0; mygen[i] = 0; myview[i] = 0; want[i] = 0; dirty[i] = 0; held[i] = 0;
	lease[i] = 0; at[i] = OFF
}

/* circle->found := the label at k, of node n */
inline found(i, k, n)
{
	ogen[i] = gen[k]; onode[i] = n; oview[i] = view[k]; ossd[i] = ssd[k]; oempty[i] = vacant[k];
	otaking[i] = (state[k] == TAKING); obase[i] = base[k]
}

/* fit() and circle_activate(): what to go by. */
#define IS_BLANK(i)	(i != 0 && mgen[i] == 0 && !(xn == i && xg == mnext[i]))
#define OURS(i)	(xn == i && (xg == mgen[i] || xg == mnext[i]))
#define TAKE_OVER(i) \
	start[i] = TAKE; at[i] = PLANNED; \
	if :: xu -> judge(1) :: else fi; \
	found(i, xb, xn)
#define RESTART_OWN(i) \
	start[i] = RESTART; at[i] = PLANNED; \
	if :: xu -> judge(1); start[i] = TAKE :: else fi; \
	found(i, xb, xn)
/* what the code refuses: to restart above a taker that is stuck */
#define RESTART_ABOVE(i) \
	newest(i, 0); \
	if \
	:: USURP && xn != i && xe == TAKING && xk != NOBODY && (gen[xk] == mgen[i] || gen[xk] == mnext[i]) && \
	   xg > gen[xk] && STUCK(xb, xk) -> \
		start[i] = RESTART; usurped[i] = 1; at[i] = PLANNED; xn = i; found(i, xk, xn) \
	:: else \
	fi

#define REACHED(i, p)	(!((cut[i] >> (p)) & 1))
#ifdef NO_R5_FENCE
#define ADMITTED(i, p)	true
#else
#define ADMITTED(i, p)	(fgen[p] == mygen[i] && fnode[p] == i)
#endif
#ifdef NO_R5_LEASE
#define MAY(i)	true
#else
#define MAY(i)	lease[i]
#endif
#ifdef BASE
#define STUCK(k, own)	(base[k] <= base[own])
#define WENT_ON(k, i)	(base[k] > obase[i])
#else
#define STUCK(k, own)	true
#define WENT_ON(k, i)	(state[k] != TAKING && gen[k] > ogen[i])
#endif
#define USES_LABEL(i)	(at[i] >= DRAINS)

proctype Node(byte i)
{
	byte p;

	do
	/* -------- circle_activate_plan(): blank metadata take over; ours restart -------- */
	:: d_step { at[i] == OFF ->
		judge(0);
		sgen[i] = xg; snode[i] = xn; sunseen[i] = xu;
		if
		:: xn == NOBODY || xg >= MAXG -> skip
		:: else ->
			if
			:: IS_BLANK(i) -> TAKE_OVER(i)
			:: !IS_BLANK(i) && OURS(i) -> RESTART_OWN(i)
			:: else -> RESTART_ABOVE(i)
			fi
		fi;
		if
		:: at[i] == PLANNED -> skip
		:: else -> stop(i)		/* refused */
		fi }
	/* -------- take_label(): still_as_planned(), the superblock, and the first write begins -------- */
	:: d_step { at[i] == PLANNED ->
		judge(0);
		if
		:: xg == sgen[i] && xn == snode[i] && !(sunseen[i] && !xu) ->
			mygen[i] = xg + 1; mnext[i] = xg + 1;
			begin(i); at[i] = CLAIMS
		:: else -> stop(i)
		fi }
	:: d_step { at[i] == CLAIMS ->
#ifdef NO_R5_UNSEEN
		xu = 0;
#else
		xu = (onode[i] != i);
#endif
		put(i, TAKING, oview[i], xu, ossd[i] && start[i] == RESTART, oempty[i], obase[i]);
		at[i] = CLAIMED }
	/* -------- it looks, and back: another_went_on(), look_back() -------- */
	:: d_step { at[i] == CLAIMED ->
		look(i);
#ifndef NO_R5_STUCK
		EACH(xi, NODES,
			newest(xi, 1);
			if
			:: xi != i && xk != NOBODY && WENT_ON(xk, i) -> xv = 0
			:: else
			fi);
#endif
		if
		:: !xv -> stop(i)
		:: else ->
#ifndef NO_R5_LOOK_BACK
			if
			:: onode[i] != i ->
				newest(onode[i], 1);
				if
				:: xk != NOBODY && gen[xk] == ogen[i] -> xn = onode[i]; found(i, xk, xn)
				:: else
				fi
			:: else
			fi;
#endif
			begin(i); at[i] = AGAIN
		fi }
	:: d_step { at[i] == AGAIN ->
		put(i, TAKING, oview[i], 0, ossd[i] && start[i] == RESTART, oempty[i], obase[i]);
		at[i] = CLAIMED2 }
	/* -------- looks again; FENCE -------- */
	:: d_step { at[i] == CLAIMED2 ->
		look(i);
		if
		:: !xv -> stop(i)
		:: else ->
			mgen[i] = mygen[i];
			EACH(xp, PEERS,
				if
				:: REACHED(i, xp) && (fgen[xp] < mygen[i] || (fgen[xp] == mygen[i] && fnode[xp] == i)) ->
					fgen[xp] = mygen[i]; fnode[xp] = i
				:: else
				fi);
			at[i] = TOOK
		fi }
	/* -------- wait_lease(): what others have looked at by now is too old when it is over -------- */
	:: d_step { at[i] == TOOK ->
		if
		:: start[i] == TAKE || usurped[i] || otaking[i] ->
			EACH(xp, NODES, if :: xp != i -> lease[xp] = 0 :: else fi);
#ifndef NO_R5_LOOK_AGAIN
			look(i);
			if :: xv -> at[i] = WAITED :: else -> stop(i) fi
#else
			at[i] = WAITED
#endif
		:: else -> at[i] = WAITED
		fi }
	/* -------- collect(): the label says recovering -------- */
#ifdef NO_R5_RECOVERING
	:: d_step { at[i] == WAITED -> at[i] = DRAINS }
#else
	:: d_step { at[i] == WAITED -> begin(i); at[i] = SAYS }
#endif
	:: d_step { at[i] == SAYS ->
		put(i, RECOVERING, oview[i], 0, ossd[i] && start[i] == RESTART, oempty[i], mygen[i]);
		at[i] = SAID }
	:: d_step { at[i] == SAID ->
		look(i);
		if :: xv -> at[i] = DRAINS :: else -> stop(i) fi }
	/* -------- judge(), drain(): with all peers of the view the verdict is complete; else it takes the SSD -------- */
	:: d_step { at[i] == DRAINS && MAY(i) ->
		xg = 0; xv = 0; xk = 1;
		EACH(xp, PEERS,
			if
			:: ((oview[i] >> xp) & 1) && REACHED(i, xp) && ADMITTED(i, xp) ->
				if
				:: rgen[xp] > xg || (rgen[xp] == xg && rver[xp] > xv) -> xg = rgen[xp]; xv = rver[xp]
				:: else
				fi
			:: ((oview[i] >> xp) & 1) && !(REACHED(i, xp) && ADMITTED(i, xp)) -> xk = 0
			:: else
			fi);
		if
		:: oview[i] == 0 -> xk = oempty[i]
		:: else
		fi;
		if
		:: !xk && ossd[i] && start[i] == RESTART ->
			xk = 1;
			if :: mver[i] > xv -> xv = mver[i] :: else fi
		:: else
		fi;
		if
		:: !xk -> stop(i)		/* refused */
		:: else ->
			assert(/* P2: what was completed is found */ (xv != 0 -> xv : origin) == ack);
			if :: xv != 0 -> origin = xv :: else fi;
			at[i] = DROPS
		fi }
	:: d_step { at[i] == DROPS ->
		mver[i] = 0;
		EACH(xp, PEERS, if :: REACHED(i, xp) && ADMITTED(i, xp) -> rgen[xp] = 0; rver[xp] = 0 :: else fi);
		begin(i); at[i] = OPENS }
	:: d_step { at[i] == OPENS ->
		put(i, ACTIVE, 0, 0, 0, 1, mygen[i]);
		at[i] = OPENED }
	:: d_step { at[i] == OPENED ->
		look(i);
		if :: xv -> at[i] = LIVE;
			oview[i] = 0; ossd[i] = 0; oempty[i] = 1; ogen[i] = 0; onode[i] = 0; obase[i] = 0; otaking[i] = 0;
			start[i] = 0; usurped[i] = 0; sgen[i] = 0; snode[i] = 0; sunseen[i] = 0
		:: else -> stop(i)
		fi }
	/* -------- the steward looks; another generation ends it -------- */
	:: d_step { at[i] == LIVE && !lease[i] ->
		look(i);
		if :: !xv -> stop(i) :: else fi }
	/* -------- change_view(): a peer that holds nothing comes; a peer leaves -------- */
	:: d_step { at[i] == LIVE && lease[i] && changes < VX && myview[i] == 0 && dirty[i] == 0 ->
		changes++;
		if
		:: REACHED(i, 0) && ADMITTED(i, 0) -> rgen[0] = 0; rver[0] = 0; want[i] = 1; begin(i); at[i] = CHANGES
#if PEERS > 1
		:: REACHED(i, 1) && ADMITTED(i, 1) -> rgen[1] = 0; rver[1] = 0; want[i] = 2; begin(i); at[i] = CHANGES
#endif
		:: else
		fi }
	:: d_step { at[i] == LIVE && lease[i] && changes < VX && myview[i] != 0 ->
		changes++; want[i] = 0; begin(i); at[i] = CHANGES }
	:: d_step { at[i] == CHANGES -> put(i, ACTIVE, want[i], 0, 1, 0, mygen[i]); at[i] = CHANGED }
	:: d_step { at[i] == CHANGED ->
#ifdef NO_R5_READ
		xv = 1;
#else
		look(i);
#endif
		if
		:: xv -> held[i] = held[i] & want[i]; myview[i] = want[i]; want[i] = 0; at[i] = LIVE
		:: else -> stop(i)
		fi }
	/* -------- a write: the peer of the view stores it, or says who is rightful -------- */
	:: d_step { OWNS(i) && nextv < MAXV && myview[i] != 0 ->
		p = myview[i] - 1;
		if
		:: REACHED(i, p) && ADMITTED(i, p) ->
			nextv++; rgen[p] = mygen[i]; rver[p] = nextv;
			assert(/* P3: two owners */ origin <= nextv);
			dirty[i] = nextv; held[i] = myview[i]; mver[i] = nextv; ack = nextv
		:: REACHED(i, p) && !ADMITTED(i, p) -> stop(i)
		:: else
		fi;
		p = 0 }
	/* -------- ... or it goes through, with a young lease -------- */
	:: d_step { OWNS(i) && nextv < MAXV && myview[i] == 0 && want[i] == 0 && dirty[i] == 0 && MAY(i) ->
		nextv++; origin = nextv; ack = nextv;
		EACH(xp, NODES, assert(/* P3: completed by an owner that was replaced */ !USES_LABEL(xp) || mygen[xp] <= mygen[i])) }
	/* -------- write-back, and release -------- */
	:: d_step { OWNS(i) && dirty[i] != 0 && MAY(i) ->
		assert(/* P3: an old version over a newer one */ dirty[i] == ack);
		origin = dirty[i]; dirty[i] = 0; mver[i] = 0;
		EACH(xp, PEERS,
			if
			:: ((held[i] >> xp) & 1) && REACHED(i, xp) && ADMITTED(i, xp) -> rgen[xp] = 0; rver[xp] = 0
			:: else
			fi);
		held[i] = 0 }
	/* -------- failures -------- */
	:: d_step { at[i] != OFF && faults < F -> faults++; stop(i) }
	:: d_step { cut[i] == 0 && faults < F -> faults++; cut[i] = 1 }
#if PEERS > 1
	:: d_step { cut[i] == 0 && faults < F -> faults++; cut[i] = 2 }
#endif
	:: d_step { cut[i] != 0 -> cut[i] = 0 }
	/* -------- states of interest -------- */
#if SEEN == 1
	/* a zombie */
	:: d_step { at[i] == LIVE && i == 1 && myview[i] != 0 && dirty[i] != 0 && at[0] == LIVE -> assert(false) }
#elif SEEN == 2
	/* above one that was stuck */
	:: d_step { at[i] == LIVE && i == 0 && mygen[i] == 3 && mgen[1] == 2 && ack == 2 -> assert(false) }
#elif SEEN == 3
	/* both have written, neither has looked */
	:: d_step { i == 1 && at[i] == CLAIMED && at[0] == CHANGED -> assert(false) }
#elif SEEN == 4
	/* a tie */
	:: d_step { i == 1 && at[i] == OFF && at[0] == OFF && gen[AT(0, last[0])] == gen[AT(1, last[1])] -> assert(false) }
#endif
	od
}

init
{
	d_step {
		/* Node 0 is live, generation 1, with an empty view. */
		gen[0] = 1; state[0] = ACTIVE; vacant[0] = 1; base[0] = 1;
		gen[1] = 1; state[1] = RECOVERING; vacant[1] = 1; base[1] = 1;
		at[0] = LIVE; mygen[0] = 1; mgen[0] = 1; mnext[0] = 1; lease[0] = 1;
		xi = 0;
		do
		:: xi < PEERS -> fgen[xi] = 1; fnode[xi] = 0; xi++
		:: else -> break
		od;
		xi = 0
	};
	atomic {
		run Node(0);
		run Node(1);
#if NODES > 2
		run Node(2)
#endif
	}
}
