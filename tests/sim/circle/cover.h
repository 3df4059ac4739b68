/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * cover: what schedules met. A check fails if one of these never happened: a simulation that finds
 * nothing because nothing happens is worth nothing.
 */
#ifndef SIM_COVER_H
#define SIM_COVER_H

#define COVERS(X) \
	X(TAKEOVER, "takeover") \
	X(TOLD_FENCED, "fenced takeover") \
	X(RESTARTED, "restart with the SSD") \
	X(COMPLETE, "complete") \
	X(WEAK, "complete up to the last FLUSH") \
	X(REFUSED, "refused") \
	X(FOUND, "dirty blocks recovered") \
	X(PEER_NEWER, "a holder newer than the SSD") \
	X(RELEASED_OLD, "older copies released before a drain") \
	X(OLDER_COPY, "an older copy not taken") \
	X(LEVEL, "within the degree, and all there") \
	X(ZOMBIE, "zombie owner") \
	X(OVERTAKEN, "owner fenced") \
	X(HEARD_OWNER, "old owner still heard") \
	X(WITHDREW, "withdrawn") \
	X(STALE, "refused: not ours") \
	X(UNSEEN, "gone by a label behind a taker's") \
	X(NEWER_LABEL, "the old owner's label changed") \
	X(LATE, "write late from a dead host") \
	X(TORN, "torn label copy") \
	X(LABEL_FAILED, "label write failed") \
	X(LABEL_UNKNOWN, "label write failed, but done") \
	X(LABEL_AWAY, "label away for a node") \
	X(VIEW, "view changed") \
	X(HEALED, "healed") \
	X(REVIVED, "revived") \
	X(MAY_HOLD, "copy without an answer") \
	X(RAISED, "floor raised") \
	X(RESYNC, "peer resynchronised") \
	X(DEGREE_UP, "degree raised") \
	X(DEGREE_DOWN, "degree lowered") \
	X(SSD_LOST, "lost SSD") \
	X(VOID, "metadata void") \
	X(STORE_LOST, "peer lost its store") \
	X(PEER_CRASH, "peer crashed") \
	X(PEER_TIDY, "peer restarted in order") \
	X(CUT, "link cut") \
	X(ORIGIN_LOSS, "origin lost what was not flushed") \
	X(AWAY_REDONE, "written again") \
	X(REPLICATED, "write replicated") \
	X(WENT_THROUGH, "write through") \
	X(THROUGH_OLDER, "write through over older dirty data") \
	X(NO_ROOM, "holder without room") \
	X(GAVE_UP, "replication given up") \
	X(FUAS, "FUA") \
	X(FLUSHED, "FLUSH") \
	X(READ, "read") \
	X(DISCARDED, "discard") \
	X(PROMOTED, "promotion") \
	X(EVICTED, "eviction") \
	X(INTENT, "intent committed") \
	X(WROTE_BACK, "write-back") \
	X(CLEAN, "clean label") \
	X(ADOPTED, "clean set adopted") \
	X(ALL_READ, "read to the end")

enum cover {
#define COVER_ENUM(name, text) COVER_##name,
	COVERS(COVER_ENUM)
	NR_COVERS
};

extern const char *const cover_text[NR_COVERS];
extern bool met[NR_COVERS];	/* in this schedule */

#define meet(name)	(met[COVER_##name] = true)

#endif
