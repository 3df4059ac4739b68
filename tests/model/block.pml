/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * block: one block of one page, from the first write to the recovery after any failure: R2, R3, R4,
 * R6 and R7 of Documentation/design.rst as drivers/md/dm-circle does it. Takers and places are label.pml's.
 *
 * What is durable: the origin, the owner's SSD and each peer's SSD have a visible and a durable state.
 * Anything visible may become durable at any time by itself, a FLUSH makes it so, a crash leaves what is durable.
 * Messages from owner to peer are in order, and lost with their connection; an answer arrives when the message
 * is handled, or is lost with the connection. A version is what the host wrote: it only grows, and is not known to
 * anybody. A tag is (generation, sequence), as in the code.
 *
 * Sizes: -DN= peers, -DR= degree, -DMAXV= writes, -DF= failures, -DOX= power losses of the origin, -DLX= label
 * writes that fail, -DDX= changes of the degree, -DHX= copies and revivals, -DMAXG= generations; -DWIPE=1: also peers that
 * lose what they hold.
 * -DNO_... takes a rule away; cases.py has the list. -DSEEN=n fails in a state of interest, to show that it is reached.
 */
#ifndef N
#define N 1
#endif
#ifndef R
#define R 1
#endif
#ifndef MAXV
#define MAXV 2
#endif
#ifndef F
#define F 2
#endif
#ifndef OX
#define OX 1
#endif
#ifndef LX
#define LX 0
#endif
#ifndef DX
#define DX 0
#endif
#ifndef HX
#define HX 0
#endif
#ifndef MAXG
#define MAXG 3
#endif
#ifndef WIPE
#define WIPE 0
#endif
#ifndef SEEN
#define SEEN 0
#endif

#define ALL	((1 << N) - 1)
#define IN(s, p)	(((s) >> (p)) & 1)
#define ADD(s, p)	s = (s) | (1 << (p))
#define DEL(s, p)	s = (s) & (255 - (1 << (p)))
#define SUB(s, t)	((s) & (255 - (t)))
#define NR(s)	(((s) & 1) + (((s) >> 1) & 1) + (((s) >> 2) & 1))
#define TAG(g, s)	((g) * 4 + (s))

#define REPLICATE	1	/* wire: enum circle_wire_type */
#define RELEASE	2
#define FLUSH	3
#define COPY	4	/* REPLICATE with FILL, whole */
#define REVIVE	9

#define REFUSED	0	/* enum circle_verdict */
#define WEAK	1
#define COMPLETE	2

#define NONE	0	/* circle_activate() has not begun, or failed */
#define OWNER	1	/* CIRCLE_ROLE_OWNER: live */
#define TAKING	2	/* the label says taking */
#define JUDGED	3	/* the label says recovering, the lists are in */
#define DRAINED	4	/* the winner is at the origin */
#define FLUSHED	5	/* ... durably */
#define DROPPED	6	/* the own SSD has forgotten; the peers do */

/* The origin, and the label there. */
byte odur, ovis;		/* version of the block */
byte lgen = 1, lview, lfloor;
bit lssd, lempty = 1, lweak, lvoid;
bit lw;				/* a label write is in flight: */
byte wview, wfloor, wdegree;
bit wssd, wempty, wvoid;

/* The peers. */
byte net = ALL;			/* running, and reachable */
byte cont;			/* same instance as when it became READY */
byte kept;			/* ... or at least the same store: circle_same_store() */
byte rt[N], rv[N];		/* replica: tag, version; tag 0: there is none */
byte dt[N], dv[N];		/* ... durable */
#if HX
byte kt[N], kv[N];		/* parked: in memory only */
#endif
chan c[N] = [3] of { byte, byte, byte };

/* The owner's memory. */
byte role = OWNER;
byte gen = 1;
bit restart;			/* CIRCLE_START_RESTART: with the SSD */
byte ready;			/* CIRCLE_PEER_READY */
byte view, wait, floor;		/* as in struct circle_circle */
byte degree = R, degree_now = R;
bit unsure;			/* label_unsure */
byte holders;			/* of the block's slot */
bit dirty; byte cv;		/* dirty, and with which version */
byte tag, seq;			/* of the slot; the last sequence drawn */
byte pv, pt;			/* the write that is under way: version; tag, if it was sent */
byte pstep;			/* 1 sent, 2 at the origin, 3 unmarked */
byte await;			/* whose answer it waits for */
bit pbad;			/* rejected, or a peer has left the view meanwhile */
byte wbs;			/* write-back: 1 written, 2 flushed */
byte hp, hx;			/* who is being given the block, + 1; how often that began */
bit fp; byte fv, fawait;	/* a FLUSH of the host is under way: what it covers */
bit ssd = 1;			/* the metadata have not failed */
byte counted, verdict;		/* of the recovery */

/* The owner's SSD: what the metadata say is dirty (tag 0: nothing), and the data in place. */
byte stag, sver, sdtag, sdver;
byte sgen = 1;			/* generation in the superblock */
byte oldv;			/* what the SSD of an owner that was replaced calls dirty (NO_R5) */

/* Not known to anybody. */
byte nextv, ack, fl;		/* last version written; completed, or read after a recovery; flushed */
bit ackthrough;			/* completed at the origin alone: its power loss may take it */
byte faults, ox, lx, dx;

hidden byte xk, xt, xv, xi, xh, xbest, xbver, xu, xn, xx;

#define EACH(cmd)	xi = 0; do :: xi < N -> cmd; xi++ :: else -> break od; xi = 0
#if HX
#define FORGET(p)	kt[p] = 0; kv[p] = 0;
#else
#define FORGET(p)
#endif
#define CLEAR(p)	do :: len(c[p]) > 0 -> c[p]?xk,xt,xv :: else -> break od; xk = 0; xt = 0; xv = 0
#define ROOM	(nfull(c[0]) && nfull(c[N - 1]) && nfull(c[N / 2]))
#define SEND(p, k, t, v)	if :: IN(ready, p) -> c[p]!k,t,v :: else fi
/* P3: nothing older than what was flushed comes to the origin. What was there before may be durable now. */
#define ORIGIN(v)	assert(/* P3 */ (v) >= fl); if :: true :: odur != ovis -> odur = ovis fi; ovis = (v)
/* A write to the SSD; before it, of what was there: nothing, the data, or a commit as well became durable. */
#define KEEP	if :: true :: sdver != sver -> sdver = sver :: sdtag != stag -> sdtag = stag; sdver = sver fi
#define COMMIT	sdtag = stag; sdver = sver

/* What was sent is lost, and is waited for still (R3). */
inline lost(p)
{
	DEL(ready, p); CLEAR(p);
	if			/* it may have what it was given: MAY_HOLD */
	:: hp == (p) + 1 ->
#ifndef NO_R7_MAY_HOLD
		if :: IN(view, p) -> ADD(holders, p) :: else fi;
#endif
		hp = 0
	:: else
	fi;
	if
	:: role == JUDGED && IN(counted, p) -> forget_all()	/* the attempt ends */
	:: else
	fi;
#ifdef NO_R3_WAIT
	DEL(wait, p); DEL(view, p); DEL(holders, p); DEL(await, p); DEL(fawait, p)
#endif
}

/* circle_peer_release_all() */
inline release_all(p)
{
#if HX
	if
	:: rt[p] / 4 == gen && IN(cont, p) -> kt[p] = rt[p]; kv[p] = rv[p]
	:: else
	fi;
#endif
	rt[p] = 0; rv[p] = 0;
#ifndef NO_R3_DROP_DURABLE
	dt[p] = 0; dv[p] = 0
#endif
}

/* The owner's memory is gone, or of no use. */
inline forget_all()
{
	role = NONE; ready = 0; view = 0; wait = 0; floor = 0; unsure = 0; holders = 0; dirty = 0; cv = 0; tag = 0; seq = 0;
	pv = 0; pt = 0; pstep = 0; await = 0; pbad = 0; wbs = 0; fp = 0; fv = 0; fawait = 0; restart = 0;
	counted = 0; verdict = 0; degree_now = degree; ssd = 1; stag = 0; sver = 0; gen = 0; hp = 0;
#if HX
	EACH(kt[xi] = 0; kv[xi] = 0);	/* of an older generation: never asked for again */
#endif
}

inline host_dies()
{
	EACH(CLEAR(xi));
	if :: role > TAKING || !ssd :: role <= TAKING && ssd -> KEEP fi;
	forget_all();
}

/* The peers that left are struck off all that knows them. */
inline label_durable()
{
	lview = wview; lfloor = wfloor; lssd = wssd; lempty = wempty; lvoid = wvoid;
	lw = 0;
}

inline no_write()
{
	lw = 0; wview = 0; wfloor = 0; wssd = 0; wempty = 0; wvoid = 0; wdegree = 0;
}

#ifdef NO_R4_ANSWER
#define STILL_NAMED	true
#else
#define STILL_NAMED	(xt == tag)	/* released(): nothing was sent since */
#endif

proctype Peer(byte p)
{
	do
	/* -------- a message is handled; the answer arrives, or is lost with the connection -------- */
	:: atomic { IN(net, p) && nempty(c[p]) ->
		c[p]?xk,xt,xv;
		xx = 1;
		if
		:: xk == REPLICATE -> rt[p] = xt; rv[p] = xv
		:: xk == REPLICATE && dt[p] != rt[p] -> dt[p] = rt[p]; dv[p] = rv[p]; rt[p] = xt; rv[p] = xv
		:: xk == REPLICATE && rt[p] == 0 -> xx = 0		/* NO_SPACE */
		:: xk == RELEASE ->
			if
			:: rt[p] <= xt -> rt[p] = 0; rv[p] = 0;
#ifndef NO_R4_DURABLE
				dt[p] = 0; dv[p] = 0
#endif
			:: else
			fi
		:: xk == FLUSH -> dt[p] = rt[p]; dv[p] = rv[p]
#if HX
		:: xk == COPY -> rt[p] = xt; rv[p] = xv; kt[p] = 0; kv[p] = 0
		:: xk == COPY -> xx = 0; kt[p] = 0; kv[p] = 0
#ifdef NO_R7_TAG
		:: xk == REVIVE && kt[p] != 0 -> rt[p] = xt; rv[p] = kv[p]; kt[p] = 0; kv[p] = 0
#else
		:: xk == REVIVE && kt[p] == xt -> rt[p] = xt; rv[p] = kv[p]; kt[p] = 0; kv[p] = 0
#endif
		:: xk == REVIVE -> xx = 0; kt[p] = 0; kv[p] = 0		/* another one; or it was evicted */
#endif
		fi;
		if
		::	if
#if HX
			:: (xk == COPY || xk == REVIVE) && hp == p + 1 ->
#if SEEN == 9
				assert(!(xk == REVIVE && xx));
#endif
				hp = 0;
				if
				:: xx && IN(view, p) -> ADD(holders, p);
					if :: !dirty && nfull(c[p]) -> SEND(p, RELEASE, tag, 0) :: else fi
				:: else
				fi
#endif
			:: xk == REPLICATE && xt == pt -> DEL(await, p); if :: !xx -> pbad = 1 :: else fi
			:: xk == RELEASE && rt[p] == 0 && STILL_NAMED -> DEL(holders, p); DEL(await, p)
			:: xk == FLUSH -> DEL(fawait, p)
			:: else
			fi
		:: faults < F -> faults++; DEL(net, p); lost(p)
		fi;
		xk = 0; xt = 0; xv = 0; xx = 0 }
	/* -------- failures -------- */
	:: d_step { (IN(net, p) || IN(cont, p)) && faults < F ->	/* power loss: what is not durable is gone */
		faults++; DEL(net, p); DEL(cont, p); FORGET(p) rt[p] = dt[p]; rv[p] = dv[p]; lost(p) }
	:: d_step { (IN(net, p) || IN(cont, p)) && (dt[p] != rt[p] || dv[p] != rv[p]) && faults < F ->	/* ... was durable */
		faults++; DEL(net, p); DEL(cont, p); FORGET(p) dt[p] = rt[p]; dv[p] = rv[p]; lost(p) }
	:: d_step { WIPE && rt[p] != 0 && faults < F ->			/* its SSD is lost, or circle_serve_renounce() */
		faults++; DEL(cont, p); DEL(kept, p); FORGET(p) rt[p] = 0; rv[p] = 0; dt[p] = 0; dv[p] = 0; lost(p) }
	:: d_step { IN(net, p) && faults < F -> faults++; DEL(net, p); lost(p) }	/* cut off */
	:: d_step { !IN(net, p) -> ADD(net, p) }
	/* -------- set_up(): UP to READY, with nothing of ours -------- */
	:: d_step { role == OWNER && IN(net, p) && !IN(ready, p) && !IN(view | wait, p) ->
#ifndef NO_R3_DROP
		release_all(p);
#endif
		ADD(ready, p); ADD(cont, p); ADD(kept, p) }
	/* -------- drop_all(): one peer after the other; who does not answer does it before it counts again -------- */
	:: d_step { role == DROPPED && IN(net, p) && rt[p] != 0 -> rt[p] = 0; rv[p] = 0; dt[p] = 0; dv[p] = 0 }
	od
}

/* -------- choose() and send() -------- */
#ifdef NO_R2_HOLDERS		/* a write goes to any that are in view */
#define CHOICE(hs)	(NR(hs) == degree_now && SUB(hs, view & wait & ready) == 0)
#else
#define CHOICE(hs) (holders != 0 -> ((hs) == holders && NR(holders & view & wait) >= degree_now) : \
		    (!dirty && NEW_OK && NR(hs) == degree_now && SUB(hs, view & wait & ready) == 0))
#endif
#ifdef NO_R7_NEW		/* new blocks are replicated while the floor is below the degree */
#define NEW_OK	true
#else
#define NEW_OK	(floor >= degree_now)
#endif

#define WRITE(hs) \
	:: atomic { role == OWNER && ssd && pv == 0 && hp == 0 && nextv < MAXV && seq < 3 && ROOM && (hs) <= ALL && CHOICE(hs) -> \
		nextv++; seq++; pv = nextv; pt = TAG(gen, seq); tag = pt; pstep = 1; await = (hs); \
		holders = holders | (hs); wbs = 0; \
		KEEP; sver = pv; if :: dirty -> stag = pt :: else fi; \
		EACH(if :: IN(hs, xi) -> SEND(xi, REPLICATE, pt, pv) :: else fi) }

/* circle_heal_copy(): who waits for the block waits; write-back does not. */
#if HX
#define HEAL(p) \
	:: atomic { role == OWNER && ssd && dirty && pv == 0 && hp == 0 && hx < HX && ROOM && floor < degree_now && \
		    NR(holders) < degree_now && SUB(holders, view & wait) == 0 && IN(view & wait & ready, p) && !IN(holders, p) -> \
		hx++; hp = (p) + 1; \
		if :: holders == 0 -> sdver = sver :: else fi; \
		if :: SEND(p, COPY, tag, cv) :: kt[p] != 0 -> SEND(p, REVIVE, tag, 0) fi }
#endif

/* mark_stored(): every holder answered or is out of the view; enough of them are in it. */
#define ENOUGH	(!pbad && NR(holders & view & wait) >= degree_now)

/* Nothing contradicts failed metadata before the label says that they are void (circle_voiding()). */
#ifdef NO_R3_VOID
#define VOIDED	true
#else
#ifdef NO_R3_VOID_FLIGHT
#define VOIDED	(ssd || !lssd)
#else
#define VOIDED	(ssd || (!lssd && !(lw && wssd) && !unsure))
#endif
#endif

#ifdef NO_R4_THROUGH_RELEASE
#define ALL_RELEASED	true
#else
#define ALL_RELEASED	(await == 0)
#endif

/* circle_release_block(), circle_release_pages() */
inline send_release()
{
	EACH(if :: IN(holders, xi) -> SEND(xi, RELEASE, tag, 0) :: else fi)
}

#ifdef NO_R6_REFUSE
#define JUDGE(u, r)	COMPLETE
#else
/* circle_recover_judge() */
#define JUDGE(u, r) (lview == 0 && lempty -> COMPLETE : \
		    ((u) + (r) < lfloor -> (lweak -> WEAK : COMPLETE) : \
		    ((u) < lfloor || (lssd && restart) -> WEAK : REFUSED)))
#endif

#ifdef NO_R6_STORE		/* a peer with another store counts as one that restarted */
#define STORES	ALL
#else
#define STORES	kept
#endif
#ifdef NO_R6_BELIEVE		/* also who restarted is believed */
#define BELIEVED(p)	true
#else
#define BELIEVED(p)	(verdict == WEAK || IN(cont, p))
#endif
#ifdef NO_R6_PEERS		/* at a restart the SSD is believed, and not the peers */
#define SSD_WINS	(restart && lssd)
#define PEERS_COUNT	(!(restart && lssd))
#else
#define SSD_WINS	(verdict == WEAK && restart && lssd)
#define PEERS_COUNT	true
#endif

/* circle_copy_order(): the highest tag of those believed; a peer's before the SSD's. */
inline winner()
{
	xbest = 0; xbver = 0;
	if :: SSD_WINS && stag != 0 -> xbest = stag; xbver = sver :: else fi;
	EACH(
		if
		:: PEERS_COUNT && IN(counted, xi) && rt[xi] != 0 && BELIEVED(xi) &&
		   (rt[xi] > xbest || (rt[xi] == xbest && xbver == sver)) ->
			xbest = rt[xi]; xbver = rv[xi]
		:: else
		fi)
}

#ifdef NO_R7_CLEAN
#define DRAINED_ALL	true
#else
#define DRAINED_ALL	(!dirty && holders == 0)
#endif

/* What keep_view() wants: all READY peers; the floor that is true then; the flags of label_flags(). */
inline wanted()
{
	xh = NR(SUB(view, ready));
#ifdef NO_R7_FLOOR
	xh = 0;
#endif
	xx = (floor > xh -> floor - xh : 0);
	xx = (xx < degree -> xx : degree);
	if
#ifdef NO_R7_RAISE		/* raised whatever holders there are */
	:: xx < degree && ready == view && ready == wait && NR(ready) >= degree ->
#else
	:: xx < degree && ready == view && ready == wait && NR(ready) >= degree && (!dirty || NR(holders & ready) >= degree) ->
#endif
#ifndef NO_R7_RAISE_FLUSH
		EACH(if :: IN(ready, xi) && dirty -> dt[xi] = rt[xi]; dv[xi] = rv[xi] :: else fi);
#endif
		xx = degree
	:: else
	fi;
	wview = ready; wfloor = xx; wdegree = degree;
	wvoid = !ssd;
	wssd = ssd && (ready != 0 || lssd || degree == 0);
	wempty = (ssd -> !wssd && lempty : lempty);
	xh = 0; xx = 0
}

proctype Owner()
{
	do
	WRITE(1) WRITE(2) WRITE(3) WRITE(4) WRITE(5) WRITE(6) WRITE(7)
#if HX
	HEAL(0)
#if N > 1
	HEAL(1)
#endif
#if N > 2
	HEAL(2)
#endif
#endif
	/* -------- stored(): it is dirty and completes, or gives up and goes through -------- */
	:: d_step { role == OWNER && pstep == 1 && await == 0 && ENOUGH ->
		dirty = 1; cv = pv; stag = pt; wbs = 0;
		ack = pv; ackthrough = 0; pv = 0; pt = 0; pstep = 0; pbad = 0 }
	:: atomic { role == OWNER && pstep == 1 && await == 0 && !ENOUGH && VOIDED ->
		ORIGIN(pv); pstep = 2; pt = 0; pbad = 0; wbs = 0 }
	/* -------- circle_through_step() -------- */
	:: atomic { role == OWNER && pv == 0 && hp == 0 && nextv < MAXV && VOIDED &&
		    (!ssd || NR(view & wait & ready) < degree_now || floor < degree_now) ->
		nextv++; pv = nextv; pstep = 2; wbs = 0; ORIGIN(pv);
#ifdef NO_R4_MARK
		stag = 0; dirty = 0
#endif
		}
	/* -------- unmark(): origin FLUSH; then a commit, and the release by every holder -------- */
	:: atomic { role == OWNER && pstep == 2 && ROOM && VOIDED ->
#ifndef NO_R4_THROUGH_FLUSH
		if :: dirty || holders != 0 -> odur = ovis :: else fi;
#endif
		pstep = 3; dirty = 0; cv = 0; KEEP; stag = 0;
		await = holders & wait;
		send_release() }
	:: d_step { role == OWNER && pstep == 3 && VOIDED && ALL_RELEASED ->
#ifndef NO_R4_THROUGH_COMMIT
		if :: ssd -> COMMIT :: else fi;
#endif
		ack = pv; ackthrough = 1; pv = 0; pstep = 0; await = 0 }
	/* -------- FLUSH of the host: holders, cache device and journal, origin -------- */
	:: d_step { role == OWNER && !fp && pv == 0 && ack > fl && ROOM ->
		fp = 1; fv = ack; fawait = holders & wait;
		EACH(if :: IN(fawait, xi) -> SEND(xi, FLUSH, 0, 0) :: else fi) }
	:: d_step { role == OWNER && fp && fawait == 0 && VOIDED && (ssd || !dirty) ->
		fp = 0; odur = ovis;
		if :: ssd -> COMMIT :: else fi;
		if :: fv > fl -> fl = fv :: else fi; fv = 0 }
	/* -------- write_batch(), settle() -------- */
	:: atomic { role == OWNER && dirty && wbs == 0 && pv == 0 && VOIDED -> ORIGIN(cv); wbs = 1 }
	:: d_step { role == OWNER && wbs == 1 && VOIDED ->
#ifndef NO_R4_CACHE_FIRST
		if :: ssd -> sdver = sver :: else fi;
#endif
#ifndef NO_R4_FLUSH
		odur = ovis;
#endif
		wbs = 2 }
	:: atomic { role == OWNER && wbs == 2 && pv == 0 && ROOM && VOIDED ->
		dirty = 0; cv = 0; wbs = 0; KEEP; stag = 0;
		send_release() }
	/* -------- keep_view(), change_view() -------- */
	:: d_step { role == OWNER && !lw &&
		    (unsure || ready != view || ready != wait || floor < degree || degree_now != degree ||
		     (!ssd && lssd) || (ssd && !lssd && ready)) ->
		if :: degree > degree_now -> degree_now = degree :: else fi;
#ifdef NO_R7_DEGREE
		degree_now = degree;
#endif
		wanted();
		if
		:: !unsure && wview == view && wview == wait && wfloor == floor && wdegree == degree_now &&
		   wssd == lssd && wvoid == lvoid -> no_write()
		:: else -> lw = 1; unsure = 1;
#ifndef NO_R3_ADD
			wait = wait | wview
#endif
		fi }
	:: d_step { role == OWNER && lw ->
		label_durable(); unsure = 0;
		xh = SUB(wait | view, wview);
		view = wview; floor = wfloor; degree_now = wdegree; wait = wview;
		holders = SUB(holders, xh); await = SUB(await, xh); fawait = SUB(fawait, xh);
		if :: xh && pstep == 1 -> pbad = 1 :: else fi;
		xh = 0; no_write() }
	:: d_step { role == OWNER && lw && lx < LX -> lx++; no_write() }		/* an error, and nothing was written */
	:: d_step { role == OWNER && lw && lx < LX -> lx++; label_durable(); no_write() }	/* ... although it was */
	/* -------- say_clean(), and the device is removed -------- */
	:: d_step { role == OWNER && !lw && !unsure && DRAINED_ALL && pv == 0 && hp == 0 && !fp && wbs == 0 ->
		if :: ssd -> COMMIT :: else fi;
		lvoid = !ssd;
		EACH(CLEAR(xi)); forget_all();
		odur = ovis; lview = 0; lfloor = 0; lempty = 1; lssd = 0 }
	/* -------- the degree is changed -------- */
	:: d_step { DX && dx < DX && degree < N -> dx++; degree++ }
	:: d_step { DX && dx < DX && degree > 1 -> dx++; degree-- }
	/* -------- failures -------- */
	:: d_step { odur != ovis && ox < OX -> ox++; ovis = odur;	/* the origin's power; it is noticed (R4) */
#ifndef NO_R4_NOTICE
		wbs = 0;
		if :: pstep >= 2 -> ovis = pv :: else fi;	/* written again */
		if :: role == DRAINED -> forget_all() :: else fi;
#endif
		if :: ackthrough && ack > fl -> ack = fl :: else fi;
		fv = fl }
	:: atomic { role == OWNER && ssd && faults < F -> faults++; KEEP; ssd = 0 }	/* the metadata cannot be written */
	:: atomic { role != NONE && faults < F -> faults++; host_dies(); no_write() }
	:: atomic { role == OWNER && lw && faults < F -> faults++; label_durable(); host_dies(); no_write() }
#ifdef NO_R5
	:: atomic { oldv != 0 -> ORIGIN(oldv); oldv = 0 }	/* an owner that was replaced goes on */
#endif
	/* -------- take_label(): a restart with the SSD, or without it -------- */
	:: d_step { role == NONE && lgen < MAXG && sgen == lgen && !lvoid ->
		lgen++; gen = lgen; sgen = lgen; role = TAKING; restart = 1; stag = sdtag; sver = sdver }
	:: d_step { role == NONE && lgen < MAXG ->
		oldv = (sdtag != 0 -> sdver : 0);
		lgen++; gen = lgen; sgen = lgen; role = TAKING; restart = 0; stag = 0; sver = 0; sdtag = 0; sdver = 0; lvoid = 0;
#ifndef NO_R6_NEW_SSD		/* the label goes on counting on the SSD that is gone */
		lssd = 0
#endif
		}
	/* -------- circle_recover(): verdict, label, lists -------- */
	:: d_step { role == TAKING ->
		counted = net & lview;
		xu = NR(SUB(lview, counted & STORES));
		xn = NR(SUB(counted & STORES, cont));
#ifdef NO_R6_RESTARTED
		xn = 0;
#endif
		verdict = JUDGE(xu, xn);
		winner();
		xv = (xbest != 0 -> xbver : ovis);
		if
		:: verdict == COMPLETE -> assert(/* P2: complete */ xv >= ack)
		:: verdict == WEAK -> assert(/* P2: up to the last FLUSH */ xv >= fl)
		:: else
		fi;
		assert(/* P2: R failures lose nothing */ DX || faults > R || verdict == REFUSED || xv >= ack);
#ifdef STRICT
		assert(/* P2: ... and are not refused */ DX || faults > R || verdict != REFUSED);
#endif
		if
		:: verdict == REFUSED -> counted = 0
		:: else -> role = JUDGED;
#ifndef NO_R6_WEAK
			lweak = (verdict == WEAK -> 1 : lweak);
#endif
		fi;
		xu = 0; xn = 0; xv = 0; xbest = 0; xbver = 0 }
	/* -------- drain(), and the origin FLUSH -------- */
	:: atomic { role == JUDGED ->
		winner();
		if
		:: xbest != 0 -> xx = xbver; xbest = 0; xbver = 0; ORIGIN(xx); xx = 0
		:: else -> xbver = 0
		fi;
		role = DRAINED }
	:: d_step { role == DRAINED ->
#ifndef NO_R6_FLUSH
		odur = ovis;
#endif
		role = FLUSHED }
	/* -------- drop_all(), open_label() -------- */
	:: d_step { role == FLUSHED -> stag = 0; sver = 0; sdtag = 0; sdver = 0; role = DROPPED }
	:: d_step { role == DROPPED ->
		lview = 0; lfloor = 0; lssd = 0; lempty = 1; lweak = 0; lvoid = 0;
		role = OWNER; restart = 0; counted = 0; verdict = 0; degree_now = degree;
		ack = ovis; ackthrough = (odur != ovis);
		if :: fl > ack -> fl = ack :: else fi }
	/* -------- states of interest -------- */
#if SEEN == 1
	/* recovered, and replicating again */
	:: d_step { role == OWNER && gen == 2 && dirty && floor == R && fl == MAXV -> assert(false) }
#elif SEEN == 2
	/* healing ends */
	:: d_step { role == OWNER && gen == 1 && lw && wfloor == R && floor < R && faults && ack == MAXV && !ackthrough -> assert(false) }
#elif SEEN == 3
	/* void, and drained */
	:: d_step { role == OWNER && !ssd && !dirty && holders == 0 && lvoid && odur == MAXV -> assert(false) }
#elif SEEN == 4
	/* a peer has newer data */
	:: d_step { role == JUDGED && verdict == COMPLETE && restart && counted && rt[0] > stag && stag != 0 -> assert(false) }
#elif SEEN == 5
	:: d_step { role == JUDGED && verdict == WEAK && lfloor && nextv == 2 -> assert(false) }
#elif SEEN == 6
	/* recovered, and clean */
	:: d_step { role == NONE && lempty && lgen == 2 && odur == MAXV -> assert(false) }
#elif SEEN == 7
	/* a label that failed, but is there */
	:: d_step { role == OWNER && unsure && !lw && view != lview && pstep == 1 -> assert(false) }
#elif SEEN == 8
	:: d_step { role == OWNER && dx == 1 && degree == 1 && degree_now == 2 && floor == 2 && dirty && lw && wdegree == 1 -> assert(false) }
#endif
	od
}

init
{
	atomic {
		xi = 0;
		do
		:: xi < N -> run Peer(xi); xi++
		:: else -> break
		od;
		xi = 0;
		run Owner()
	}
}
