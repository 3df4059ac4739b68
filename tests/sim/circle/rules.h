/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * rules: the clauses of Documentation/design.rst that can be taken away, each with an option's
 * name, a seed at which that gave a violation, and what the circle does then.
 */
#ifndef SIM_RULES_H
#define SIM_RULES_H

#define RULES(X) \
	X(R1_ORDER, "R1", 22, \
	  "metadata are durable before the data that they speak of") \
	X(R1A_INTENT, "R1a", 4017, \
	  "clean pages are written over under metadata that call them clean") \
	X(R2_HOLDERS, "R2-holders", 27, \
	  "a write goes to any peers in view, not to all holders") \
	X(R2_WAIT, "R2-wait-for-holder", 3, \
	  "a write completes when one holder has it") \
	X(R3_WAIT, "R3-label-before-stop-waiting", 153, \
	  "a lost peer is struck off at once") \
	X(R3_NOTHING, "R3-comes-with-nothing", 16, \
	  "a lost peer comes back with what it had") \
	X(R3_DURABLE, "R3-nothing-durably", 906, \
	  "... or has not durably dropped it") \
	X(R3_VOID, "R3-void", 2551, \
	  "failed metadata are contradicted before a label says void") \
	X(R3_SSD, "R3-SSD-in-label", 166, \
	  "an SSD that is gone stays in the label") \
	X(R4_FLUSH, "R4-flush-before-release", 276, \
	  "released without a FLUSH of the origin") \
	X(R4_DURABLE, "R4-release-durable", 1861, \
	  "a release is answered before it is durable") \
	X(R4_ANSWER, "R4-sequence", 918, \
	  "an answer to a release counts though something was sent since") \
	X(R4_MARK, "R4-dirty-mark", 390, \
	  "a dirty mark goes with the write, before the FLUSH") \
	X(R4_THROUGH, "R4-through-flush", 709, \
	  "a write through unmarks older data without a FLUSH") \
	X(R4_RELEASED, "R4-through-release", 583, \
	  "a write through completes before its release") \
	X(R4_AWAY, "R4-origin-away", 22, \
	  "nobody notices that the origin was reset") \
	X(R4_FUA, "R4-FUA-away", 697, \
	  "a FUA through is not done again if the origin was away before its FLUSH") \
	X(R5_STOP, "R5-stop", 87, \
	  "an owner that finds a higher generation goes on") \
	X(R5_FENCE, "R5-peers-refuse", 15299, \
	  "peers serve an owner that was replaced") \
	X(R5_LEASE, "R5-lease", 15471, \
	  "an owner writes without a young look at the label") \
	X(R5_TAKER, "R5-lease-wait", 0, \
	  "a taker does not wait for the lease") \
	X(R5_READ, "R5-read-others", 21150, \
	  "who has written its label does not read the others") \
	X(R5_BACK, "R5-look-back", 55009, \
	  "a taker goes by the view that it read first") \
	X(R5_UNSEEN, "R5-unseen", 22167, \
	  "a taker's first label hides the old owner's") \
	X(R5_BETWEEN, "R5-unseen-between", 0, \
	  "a node takes over by its own old label while another has just begun to") \
	X(R5_COPIES, "R5-copies", 264, \
	  "a label is written over the newest copy") \
	X(R5_ANEW, "R5-copies-anew", 0, \
	  "which copy was the newest is not looked at behind the first FLUSH") \
	X(R6_REFUSE, "R6-refuse", 22, \
	  "what cannot be proved is called complete") \
	X(R6_RESTARTED, "R6-continuous", 43, \
	  "a peer that restarted counts as one that did not") \
	X(R6_BELIEVE, "R6-believe", 0, \
	  "also who restarted is believed when it is complete") \
	X(R6_STORE, "R6-store", 203, \
	  "a peer with another store counts as restarted") \
	X(R6_FLOOR, "R6-floor", 96, \
	  "the degree is taken for the floor") \
	X(R6_FLUSH, "R6-flush", 1160, \
	  "copies are dropped before a FLUSH of the origin") \
	X(R6_WEAK, "R6-weak", 0, \
	  "the label does not say that a weak recovery began") \
	X(R6_OWN_CLEAN, "R6-own-clean", 0, \
	  "what a restart finds durably clean does not tell which copies are older") \
	X(R6_EMPTY, "R6-empty", 0, \
	  "what was drained is dropped under a label with holders") \
	X(R6_KEEP, "R6-keep-clean", 0, \
	  "what is clean goes though nobody has anything that counts") \
	X(R7_FLOOR, "R7-lower-floor-first", 96, \
	  "the label without a holder keeps the floor") \
	X(R7_RAISE, "R7-raise", 157, \
	  "the floor rises whatever holders there are") \
	X(R7_DURABLE, "R7-raise-flush", 13246, \
	  "the floor rises before the holders are durable") \
	X(R7_DEGREE, "R7-degree", 0, \
	  "a lower degree is in force before its label") \
	X(R7_MAY_HOLD, "R7-may-hold", 0, \
	  "a copy whose answer did not come is forgotten") \
	X(R7_TAG, "R7-revive-tag", 8408, \
	  "what is parked is revived whatever its tag") \
	X(R7_CLEAN, "R7-clean", 2, \
	  "a label is clean though something is dirty") \
	X(P4_RISK, "P4-at-risk", 63, \
	  "holders that are lost are counted in at_risk")

enum rule {
#define RULE_ENUM(name, text, seed, what) name,
	RULES(RULE_ENUM)
	NR_RULES
};

struct rule_text {
	const char *name, *what;
	u64 seed;		/* where it was found last */
};

extern const struct rule_text rule_text[NR_RULES];
extern u64 without;		/* a bit for each rule that does not hold */

static inline bool rule(enum rule r)
{
	return !(without >> r & 1);
}

#endif
