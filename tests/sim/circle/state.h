/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * state: one circle in memory: an origin, heads (nodes that own the set, or take it over), peers,
 * links between them, and what is known of each page to nobody but the oracle. The label area is
 * area.c's.
 */
#ifndef SIM_STATE_H
#define SIM_STATE_H

#include <stdio.h>
#include <linux/bits.h>
#include <linux/errno.h>
#include <linux/kernel.h>
#include <linux/string.h>

#include "label.h"
#include "place.h"
#include "recover.h"

#define BLOCKS	3
#define PAGES	4
#define PEERS	3
#define HEADS	3
#define OPS	6
#define QUEUE	32
#define FLIGHTS	24
#define COPIES	(BLOCKS * (PEERS + 1))
#define HEAD_ID(h)	((h)->nr + 1)
#define PEER_ID(p)	((p) + 11)

/* Ticks. An owner writes for so long after a look; what it sent lands so much later. */
#define LEASE	12
#define IO_TIME	10
#define HEARD	5	/* an owner that is silent for longer is not heard any more */
#define PATIENCE	8	/* for peers of the old view that are not here */
#define NEEDED	30	/* ... without which completed writes may be missing */

typedef u32 ver;		/* names a write of one page; newer ones are higher */

#include "rules.h"
#include "cover.h"

struct replica {
	bool here;
	u32 gen, slot;		/* slot: which place on the SSD, by number of use */
	u64 seq;
	u8 pages;
	ver v[PAGES];
};

struct peer {
	u8 nr, host;
	bool up;
	u32 store, load, room, slots;
	u64 fence_gen, fence_act;	/* the rightful, in the superblock */
	u8 fence_head;
	struct replica rep[BLOCKS], dur[BLOCKS], park[BLOCKS];
};

enum msg_type { REPLICATE = 1, COPY, REVIVE, RELEASE, FLUSH };
enum answer { OK = 0, NO_SPACE, NOT_FOUND, NEWER, FENCED_OFF };

struct msg {
	u8 type, block, pages, status;
	s8 op;			/* who waits for it; -1: nobody */
	u32 op_id, covers;
	u64 gen, act, seq;
	ver v[PAGES];
};

struct queue {
	u8 at, nr;
	struct msg m[QUEUE];
};

enum link_state { DOWN = 0, UP, READY };

struct link {
	enum link_state state;		/* as the head knows */
	bool conn, broken, cut, greeted;	/* broken: not noticed yet */
	u8 heard;			/* node id of another owner that the peer hears */
	bool admitted;			/* at the peer: a FENCE of this session counts */
	u64 instance, ready_instance, counted;
	u32 turn;
	u32 undurable, flushed, room, kept;
	u64 heard_at;			/* at the peer */
	struct queue req, ans;
};

struct slot {
	bool mapped, intent;
	u8 valid, dirty, holders;
	u32 gen;
	u64 seq;
};

enum op_kind { NO_OP = 0, WRITE, FLUSHING, WRITEBACK, HEALING };
enum op_step {
	PLAN = 0, STORED, FUA_HOLDERS, FUA_COMMIT,		/* a write that is replicated */
	THROUGH, T_WRITE, T_FLYING, T_LANDED, T_UNMARK, T_RELEASED, T_ACK,
	F_HOLDERS, F_DRAIN,
	B_WRITE, B_FLYING, B_FLUSH, B_SETTLE,
	H_WAIT,
};

struct op {
	enum op_kind kind;
	enum op_step step;
	u8 block, pages;
	bool fua, older;
	u32 id, departures, away, resets, turn;
	u8 await, ok, rejected, degree, peer;
	u64 seq;
	ver v[PAGES];			/* of a write */
	ver covers[BLOCKS][PAGES];	/* of a FLUSH; */
	ver kept[BLOCKS][PAGES];	/* ... if the origin's cache forgets */
};

enum phase {
	OFF = 0, FIND, CLAIM, CLAIM2, WAIT, SAY, LIST, OLD, DRAIN, DROP, EMPTY, GONE, TELL, OPEN, LIVE,
	FENCED,
};

enum start { FRESH = 0, ADOPT, RESTART, TAKE };
enum label_step { L_IDLE = 0, L_WRITING, L_LOOK };

struct head {
	u8 nr, host;
	bool paused;
	u64 wakes, blind;		/* until then it is paused; cannot reach the label */
	struct link link[PEERS];
	/* SSD and metadata device */
	bool blank, tidy;		/* tidy: stopped in order */
	u64 sb_gen, sb_act, sb_next_gen, sb_next_act;
	struct slot slot[BLOCKS], dur[BLOCKS];
	ver vis[BLOCKS][PAGES], sdur[BLOCKS][PAGES];
	u8 degree;			/* as the administrator says */
	/* memory, from here on */
	enum phase phase;
	enum start start;
	bool owner, was_unseen, may_fence, failed, voided, label_unsure, fenced, stopping;
	u64 gen, act, seq, until, patience, needed, lease;
	struct circle_label label, found, seen;
	u8 label_copy;
	enum label_step lstep;
	u8 want_view, want_floor, want_degree;
	u8 view, wait, floor, degree_now, old_view, place_next;
	u32 departures, losses, away;
	struct op op[OPS];
	/* recovery */
	enum circle_verdict verdict;
	u8 counted, drained, flying, nr_copies, told;
	u64 judged[PEERS];
	u32 drain_away;
	struct circle_copy copy[COPIES];
};

struct flight {			/* a write on its way to the origin */
	bool used, weak;
	s8 op;			/* -1: of a recovery */
	u8 head, block, pages;
	u32 op_id;
	u64 gen, until;
	ver v[PAGES];
};

struct truth {			/* of a page */
	ver floor;		/* completed, or shown: nothing older may be shown */
	ver sure;		/* ... also when the origin loses power */
	ver flushed;		/* ... whatever fails */
};

struct world {
	u64 seed, rng, now;
	u32 steps, ids, nr_blocks, nr_pages, nr_peers, nr_heads;
	u32 next_ver, resets;
	u32 weak_id;		/* ids up to here are from before a weak recovery */
	u64 top_gen, claimed;	/* that began to drain; that somebody has claimed */
	u32 failed, protect;	/* what failed since all was well, and the degree then */
	bool weak_open;		/* a weak recovery has drained, and is not live yet */
	bool calm;		/* the end: everything is mended, nothing fails any more */
	u8 nasty;		/* percent of the steps that are faults */
	u32 faults, rest;	/* kinds of faults that there are; steps until all is mended */
	u8 bad_label;		/* percent of its writes that fail */
	u8 eager;		/* percent of the steps without an owner that start one */
	u8 share[16];		/* of the host's requests */
	ver vis[BLOCKS][PAGES], dur[BLOCKS][PAGES];
	struct flight flight[FLIGHTS];
	struct truth truth[BLOCKS][PAGES];
	struct peer peer[PEERS];
	struct head head[HEADS];
};

extern struct world w;

#define FAULTS	19	/* kinds */
#define MENDING	0x3818	/* those that bring somebody back */

#define FAIL_HOST	8
#define FAIL_SSD	9

static inline u8 bit(unsigned int n)
{
	return 1u << n;
}

#endif
