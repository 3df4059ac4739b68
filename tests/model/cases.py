# SPDX-License-Identifier: GPL-2.0-only
"""What ./run checks: each case a model, its switches, what is expected, and what it costs.

CLEAN   no violation in the whole state space
BROKEN  a rule is taken away: a violation must be found, or the model does not show that it is needed
SEEN    a state of interest is reached, so that a clean result says something
KNOWN   what the code does today is violated; the README has the finding. When it is mended in the code, mend the
        model and turn this into CLEAN.
"""
from dataclasses import dataclass, field

CLEAN, BROKEN, SEEN, KNOWN = "clean", "broken", "seen", "known"


@dataclass(frozen=True)
class Case:
    """One run of one model."""

    name: str
    what: str                   # for whom reads the results
    expect: str
    model: str
    defs: str
    short: bool = True          # part of make check
    compact: bool = False       # hash compaction: much less memory, a state could be missed
    seconds: int = field(default=300)


ONE = "-DN=1 -DR=1 -DF=2 -DMAXV=2"
ONE_MORE = "-DN=1 -DR=1 -DF=3 -DMAXV=2 -DOX=0"
TWO = "-DN=2 -DR=1 -DF=2 -DMAXV=2 -DOX=0 -DMAXG=2"
DEGREE = "-DN=2 -DR=2 -DF=2 -DMAXV=2 -DOX=0 -DMAXG=2 -DDX=2"
HEAL = "-DN=2 -DR=1 -DF=3 -DMAXV=2 -DOX=0 -DHX=2 -DMAXG=2"
PLACES = "-DNODES=2 -DPEERS=1 -DF=1 -DMAXV=2 -DMAXG=4 -DVX=2"


def clean(name, what, model, defs, **more):
    """CLEAN"""
    return Case(name, what, CLEAN, model, defs, **more)


def without(rule, what, defs=ONE, **more):
    """BROKEN, of block.pml"""
    return Case(f"NO_{rule}", what, BROKEN, "block", f"{defs} -DNO_{rule}", **more)


def unlabelled(rule, what, **more):
    """BROKEN, of label.pml"""
    return Case(f"NO_{rule}", what, BROKEN, "label", f"{PLACES} -DBASE -DNO_{rule}", **more)


def seen(model, nr, what, defs, **more):
    """SEEN"""
    return Case(f"{model}-seen-{nr}", what, SEEN, model, f"{defs} -DSEEN={nr}", **more)


CASES = [
    clean("block-1", "one peer, degree 1, two failures", "block", ONE),
    clean("block-1-wipe", "one peer, which may lose what it holds", "block", ONE + " -DWIPE=1", short=False),
    clean("block-1-label-errors", "one peer, a label write that fails", "block", ONE + " -DLX=1", short=False),
    clean("block-1-three", "one peer, degree 1, three failures", "block", "-DN=1 -DR=1 -DF=3 -DMAXV=2",
          short=False),
    clean("block-2-few", "two peers, degree 1, two failures, two activations", "block", TWO, short=False),
    clean("block-2", "two peers, degree 1, two failures", "block", "-DN=2 -DR=1 -DF=2 -DMAXV=2", short=False,
          compact=True, seconds=1800),
    clean("block-3", "three peers, degree 2, two failures", "block",
          "-DN=3 -DR=2 -DF=2 -DMAXV=2 -DOX=0 -DMAXG=2", short=False, compact=True, seconds=3600),
    clean("block-degree", "two peers, the degree changes twice", "block", DEGREE, short=False, compact=True,
          seconds=1800),
    clean("block-heal", "a block without a holder is copied, or what was parked of it revived", "block",
          "-DN=1 -DR=1 -DF=3 -DMAXV=2 -DOX=0 -DHX=2 -DMAXG=2"),
    clean("block-heal-2", "two peers, who take over from each other", "block", HEAL, short=False, compact=True, seconds=3600),
    clean("label-2", "two nodes, one dies, a label that knows what was gone on with", "label", PLACES + " -DBASE"),
    clean("label-2-plain", "two nodes, one dies, nobody restarts above a taker", "label", PLACES + " -DUSURP=0"),
    clean("label-2-two", "two nodes, two failures, two peers", "label",
          "-DNODES=2 -DPEERS=2 -DF=2 -DMAXV=2 -DMAXG=4 -DVX=2 -DBASE", short=False, compact=True, seconds=1800),
    clean("label-3", "three nodes, one dies, two takeovers", "label", "-DNODES=3 -DPEERS=1 -DF=1 -DMAXV=1 -DMAXG=3 -DVX=1 -DBASE",
          short=False, compact=True, seconds=3600),

    without("R2_HOLDERS", "R2: a write reaches all holders"),
    without("R3_WAIT", "R3: a lost peer is waited for until a label without it is durable"),
    without("R3_DROP", "R3: a peer that was lost comes back with nothing"),
    without("R3_DROP_DURABLE", "R3: ... durably", ONE_MORE),
    without("R3_VOID", "R3: nothing supersedes failed metadata before the label says void",
            "-DN=1 -DR=1 -DF=3 -DMAXV=2", short=False),
    without("R4_FLUSH", "R4: an origin FLUSH before a release"),
    without("R4_DURABLE", "R4: a release is acknowledged when durable"),
    without("R4_ANSWER", "R4: an answer to a release counts only if nothing was sent since",
            "-DN=1 -DR=1 -DF=3 -DMAXV=3 -DOX=0", short=False),
    without("R4_MARK", "R4: a dirty mark goes only after the origin FLUSH"),
    without("R4_THROUGH_FLUSH", "R4: a write through flushes the origin before older versions go"),
    without("R4_THROUGH_RELEASE", "R4: a write through completes after its release"),
    without("R4_NOTICE", "R4: an origin that was reset is noticed"),
    without("R5", "R5: an owner that was replaced stops"),
    without("R6_REFUSE", "R6: what cannot be proved complete is not called so"),
    without("R6_RESTARTED", "R6: a peer that restarted does not count as one that did not"),
    without("R6_BELIEVE", "R6: in a complete recovery who restarted is not believed",
            "-DN=2 -DR=2 -DF=2 -DMAXV=2 -DOX=0 -DMAXG=2", short=False),
    without("R6_STORE", "R6: a peer with another store counts as unreachable", ONE + " -DWIPE=1"),
    without("R6_PEERS", "R6: peers are believed at a restart with the SSD"),
    without("R6_NEW_SSD", "R6: an SSD that is gone is not in the label"),
    without("R6_FLUSH", "R6: an origin FLUSH before the copies are dropped"),
    without("R6_WEAK", "R6: a weak recovery says so before it writes", ONE_MORE),
    without("R7_FLOOR", "R7: the label without a holder lowers the floor"),
    without("R7_RAISE", "R7: the floor rises when all dirty pages have their holders"),
    without("R7_DEGREE", "R7: a lower degree is in force with the label", DEGREE, short=False),
    without("R7_MAY_HOLD", "R7: a peer that may have got a copy is a holder", HEAL, short=False,
            compact=True, seconds=1800),
    without("R7_TAG", "R7: what is parked is revived only with the tag of the block", HEAL, short=False,
            compact=True, seconds=1800),
    without("R7_CLEAN", "R7: a label is clean when nothing is dirty or held"),
    unlabelled("R5_READ", "R5: a label counts when all others have been read after it was written"),
    unlabelled("R5_LEASE", "R5: the origin is written with a young lease only"),
    unlabelled("R5_FENCE", "R5: peers refuse who was replaced"),
    unlabelled("R5_LOOK_BACK", "R5: a taker goes by what the old owner's label says last"),
    unlabelled("R5_UNSEEN", "R5: a label whose writer has not looked back does not hide the old owner's"),
    unlabelled("R5_STUCK", "R5: who restarts above a taker looks whether it went on"),
    unlabelled("R5_TIE", "R5: of two labels of one generation neither counts"),
    unlabelled("R5_COPIES", "R5: a label write leaves the newest copy alone"),

    seen("block", 1, "recovered, and replicating again", ONE),
    seen("block", 2, "healing ends", ONE),
    seen("block", 3, "void metadata, and drained", ONE),
    seen("block", 4, "a restart where a peer has newer data than the SSD", ONE),
    seen("block", 5, "a weak recovery with a floor", ONE, short=False),
    seen("block", 6, "recovered, drained, clean", ONE, short=False),
    seen("block", 7, "a label that failed but is there, with a write under way", ONE + " -DLX=1", short=False),
    seen("block", 8, "a degree that is being lowered", DEGREE, short=False),
    seen("block", 9, "a revival", "-DN=1 -DR=1 -DF=2 -DMAXV=2 -DOX=0 -DHX=1 -DMAXG=2"),
    seen("label", 1, "a replaced owner that does not know it yet", PLACES + " -DBASE"),
    seen("label", 2, "restarted above a taker that was stuck, and a write", PLACES + " -DBASE"),
    seen("label", 3, "two labels written, neither looked at", PLACES + " -DBASE", short=False),
    seen("label", 4, "two nodes withdrew", PLACES + " -DBASE", short=False),

    Case("known-restart-above", "who restarts above a label that is taking believes that nobody went on before it",
         KNOWN, "label", PLACES),
    Case("known-first-view", "between the first view and the first floor one failure is refused", KNOWN, "block",
         ONE + " -DSTRICT"),
]
