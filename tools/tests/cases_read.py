# SPDX-License-Identifier: GPL-2.0-only
"""circle_check, circle_dump and circle_id."""
import json
import os
import re

from image import (CLEAN, EMPTY, INTENT, JOURNAL, LABEL, LOST, MAPPED, MB, MBS, RECOVERING, RETIRED,
                   SECTOR, SLOTS, SSD, TABLE, UNSEEN)

GOLDEN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "golden")


def good(r, text=""):
    """Exit code 0, and says so."""
    assert r.rc == 0, r
    assert re.search(text, r.err), r


def bad(r, text):
    """Exit code 1 with this message."""
    assert r.rc == 1, r
    assert re.search(text, r.err), r


def same_as_golden(name, text):
    """Or write it, when asked to."""
    path = os.path.join(GOLDEN, name)
    if os.environ.get("WRITE_GOLDEN"):
        with open(path, "w", encoding="ascii") as f:
            f.write(text)
    with open(path, encoding="ascii") as f:
        assert f.read() == text, text


def some(rig):
    """A local cache with a bit of everything."""
    return rig.slot(0, 5).slot(1, 6, dirty=0x3).slot(90, 249, 0x3f, dirty=0x20, flags=3).slot(
        199, 7, 0x1, flags=MAPPED | INTENT)


# ---------------------------------------------------------------- circle_check

def test_check_good(rig):
    some(rig).make()
    good(rig.check(), "4 own blocks, 2 of them dirty .3 pages.; 0 lent; 196 free")
    r = rig.check("-q")
    assert r.rc == 0 and not r.out and not r.err, r


def test_check_unclean(rig):
    rig.super["flags"] = 0
    some(rig).make()
    good(rig.check(), "3 of them dirty .9 pages")
    good(rig.check(), "2 of the dirty ones may be clean")


def test_check_journal(rig):
    rig.slot(3, 9).make("slot 3", "slot 4 block=10 valid=3 dirty=3 gen=3 seq=1 flags=3",
                        "jblock 10 10 2 3", "jblock 11 10 2 4", "jblock 12 12 1 3")
    good(rig.check(), "lsn 10 to 13, 3 records")
    good(rig.check(), "1 own blocks, 1 of them dirty")


def test_check_journal_before_the_tail_is_ignored(rig):
    rig.make("slot 4 block=10 valid=3 flags=1", "jblock 9 9 1 4")
    good(rig.check(), "0 records")


def test_check_journal_end_torn(rig):
    rig.make("slot 4 block=10 valid=3 gen=3 flags=1", "jblock 10 10 1 4",
             "slot 4 block=11 valid=3 gen=3 flags=1", "jblock 11 11 2 4")
    good(rig.check(), "lsn 10 to 11, 1 records")


def test_check_journal_gap(rig):
    rig.make("jblock 10 10 1 4", "jblock 12 12 1 4")
    bad(rig.check(), "journal: a write in its middle was lost: at lsn 12")
    good(rig.check("--super-block-only"))


def test_check_journal_of_a_slot_beyond(rig):
    rig.make("jblock 10 10 1 200")
    bad(rig.check(), "slot 200, which does not exist")


def test_check_page_in_both_copies(rig):
    rig.make()
    rig.flip_mb(TABLE + 1)
    bad(rig.check(), "page 1 of the slot table .slots 84...* damaged in both")
    assert "page 0" not in rig.check().err


def test_check_newer_page_lost(rig):
    rig.super["tail_lsn"] = 12
    rig.make("slot 3 block=3 valid=1 gen=3 flags=1", "page B 0 11", "super seq=4", "put 0")
    good(rig.check(), "1 own blocks")
    rig.flip_mb(TABLE + 3)
    bad(rig.check(), "older than it should be")


def test_check_older_page_lost(rig):
    rig.super["tail_lsn"] = 12
    rig.make("slot 3 block=3 valid=1 gen=3 flags=1", "page B 0 11", "super seq=4", "put 0")
    rig.flip_mb(TABLE)
    good(rig.check(), "1 own blocks")


def test_check_checkpoint_interrupted(rig):
    """Its pages do not count, and are no substitute for those that do."""
    rig.make("slot 3 block=3 valid=1 gen=3 flags=1", "jblock 10 10 1 3",
             "slot 3 block=4 valid=1 gen=3 flags=1", "page B 0 10", "page B 1 10")
    good(rig.check(), "1 records are not")
    good(rig.check(), "1 own blocks")
    assert [s["block"] for s in rig.dump()["slots"]] == [3]
    rig.flip_mb(TABLE + 1)
    bad(rig.check(), "page 1 of the slot table .slots 84...* damaged in both")


def test_check_supers(rig):
    rig.make()
    rig.flip_mb(0)
    good(rig.check(), "superblock 0 is torn or damaged")
    rig.flip_mb(16)
    bad(rig.check(), "damaged in both copies")


def test_check_second_super_lost(rig):
    rig.make()
    rig.flip_mb(16)
    good(rig.check(), "superblock 1 is torn or damaged")


def test_check_older_super_is_left(rig):
    rig.slot(4, 4).make("super generation=2 seq=1", "put 1")
    good(rig.check(), "1 own blocks")
    rig.flip_mb(0)
    good(rig.check(), "1 blocks are of a later generation than the superblock that is left")


def test_check_first_super_wiped(rig):
    rig.make()
    with open(rig.meta, "r+b") as f:
        f.write(bytes(MB))
    bad(rig.check(), "the first superblock was wiped")


def test_check_super_foreign_and_blank(rig):
    rig.make()
    with open(rig.meta, "r+b") as f:
        f.write(b"something else")
    bad(rig.check(), "superblock 0 is something else's")
    with open(rig.meta, "r+b") as f:
        f.write(bytes(32 * MB))
    bad(rig.check(), "is blank")
    with open(rig.meta, "r+b") as f:
        f.seek(5 * MB)
        f.write(b"something else")
    bad(rig.check(), "holds something else")


def test_check_newer_flag(rig):
    rig.super["flags"] = 0x81
    rig.make()
    bad(rig.check(), "newer version")


def test_check_too_small(rig):
    rig.make()
    os.truncate(rig.meta, (MBS - 1) * MB)
    bad(rig.check(), "smaller than it was when formatted: 109 metadata blocks, 110")
    os.truncate(rig.meta, 31 * MB)
    bad(rig.check(), "too small")
    os.truncate(rig.meta, 100)
    bad(rig.check(), "too small")
    os.truncate(rig.meta, 0)
    bad(rig.check(), "too small")


def test_check_slots(rig):
    for n, (fields, text) in enumerate((
            ({"dirty": 1, "valid": 2}, "slot 9 has an impossible entry"),
            ({"valid": 0x100}, "slot 9 has an impossible entry"),
            ({"block": 250}, "slot 9 has an impossible entry"),
            ({"flags": 0x11}, "slot 9 has an impossible entry"),
            ({"flags": 0}, "slot 9 has an impossible entry"),
            ({"owner": 33}, "slot 9 has an impossible entry"),
            ({"gen": 4}, "generation 4, the superblock 3"),
            ({"gen": 1 << 32}, "slot 9 has an impossible entry"),
            ({"seq": 1 << 48}, "slot 9 has an impossible entry"),
            ({"owner": 1}, "lent to owner 1, whom the superblock does not name"))):
        rig.slots.clear()
        rig.slot(9, **{"block": n, **fields}).make()
        bad(rig.check(), text)
        good(rig.check("--skip-mappings"))


def test_check_many_complaints_are_cut(rig):
    for n in range(60):
        rig.slot(n, 250 + n)
    rig.make()
    r = rig.check()
    bad(r, "and 35 more")
    assert r.err.count("impossible") == 25, r


def test_check_doubles(rig):
    rig.super["flags"] = 0
    rig.slot(9, 7, dirty=1).slot(11, 7, dirty=2).make()
    good(rig.check(), "1 slots have a block that another one has newer")
    good(rig.check(), "1 own blocks, 1 of them dirty .1 pages")
    rig.slot(9, 7, seq=111, dirty=1).make()
    bad(rig.check(), "slots 9 and 11 both have block 7 of owner 0, and the same tag")


def test_check_lent(rig):
    rig.circle().lines.append("owner 2 uuid=9 generation=8 activation=1 node_id=3")
    rig.slot(9, 1 << 40, owner=2, gen=8, dirty=0xff).slot(10, 7, owner=2, gen=7, dirty=0xff)
    rig.slot(11, 7).make()
    good(rig.check(), "1 own blocks, 0 of them dirty .0 pages.; 2 lent")
    rig.slot(9, 8, owner=2, gen=9).make()
    bad(rig.check(), "generation 9 of owner 2, who is at 8")


def test_check_flags(rig):
    rig.super["flags"] = 3
    rig.slot(3, 3, flags=MAPPED | LOST, dirty=1)
    rig.make("slot 7 flags=%d" % RETIRED, "jblock 10 10 1 7")
    good(rig.check(), "a check was asked for")
    good(rig.check(), "1 slots retired, 1 lost")
    good(rig.check("--clear-needs-check-flag"))
    assert "asked for" not in rig.check().err
    assert rig.dump()["superblock"]["seq"] == 3


def test_check_flag_is_not_cleared_when_bad(rig):
    rig.super["flags"] = 3
    rig.slot(3, 250).make()
    before = rig.bytes_of(rig.meta)
    bad(rig.check("--clear-needs-check-flag"), "impossible")
    assert before == rig.bytes_of(rig.meta)


def test_check_label(rig):
    rig.circle().slot(1, 1, dirty=1).make().devices()
    bad(rig.check("--label", rig.org), "there is no label, but the metadata have been in use")
    rig.label(peers=(2, 3))
    good(rig.check("--label", rig.org), "active, generation 3, degree 2, floor 2, 2 peers in view")
    rig.label(seq=6, state=CLEAN, flags=EMPTY)
    good(rig.check("--label", rig.org), "nothing is dirty: what is marked dirty here does not count")
    rig.label(seq=6, flags=0)
    good(rig.check("--label", rig.org), "this SSD is not in the label")


def test_check_label_that_does_not_fit(rig):
    rig.circle().make()
    for fields, text in (({"generation": 4}, "node 1 has taken over at generation 4"),
                         ({"node_id": 2, "generation": 4}, "node 2 has taken over"),
                         ({"activation": 8}, "has taken over at generation 3"),
                         ({"generation": 2}, "was the origin rolled back"),
                         ({"set_uuid": 0x56}, "belong to another origin"),
                         ({"origin_sectors": 16000}, "the label says block size 64 and 16000"),
                         ({"block_sectors": 128}, "the label says block size 128")):
        rig.devices().label(**fields)
        bad(rig.check("--label", rig.org), text)
    rig.devices().label().label(node_id=9, activation=6, state=1)
    bad(rig.check("--label", rig.org), "another node has generation 3 too")


def test_check_label_damaged(rig):
    rig.circle().make().devices().label()
    rig.flip(rig.org, LABEL * SECTOR + 4096 + 200)
    rig.label(copy=1, seq=6)
    good(rig.check("--label", rig.org), "label: active")
    rig.flip(rig.org, LABEL * SECTOR + 65536 + 4096 + 200)
    bad(rig.check("--label", rig.org), "byte 4096: is damaged")
    rig.flip(rig.org, LABEL * SECTOR)
    bad(rig.check("--label", rig.org), "byte 0: is neither blank nor a label")


def test_check_label_intended(rig):
    rig.circle(next_generation=4, next_activation=9).make().devices()
    rig.label().label(copy=1, seq=6, generation=4, activation=9, state=1)
    good(rig.check("--label", rig.org), "label: taking, generation 4")


def test_check_label_place(rig):
    rig.circle().make().devices()
    os.truncate(rig.org, LABEL * SECTOR + 4096)
    bad(rig.check("--label", rig.org), "ends before its label")
    rig.circle(label_sector=2048).make()
    bad(rig.check("--label", rig.org), "within the 15980 of the device")
    rig.super = {**rig.super, "flags": 1, "node_id": 0, "label_kind": 0, "label_sector": 0}
    rig.make()
    bad(rig.check("--label", rig.org), "a local cache's metadata: they have no label")
    rig.circle().make()
    bad(rig.check("--label", rig.org + "x"), "cannot be opened")


def test_usage(rig):
    rig.make()
    for tool in ("circle_check", "circle_dump", "circle_writeback", "circle_id"):
        for option in ("-h", "--help"):
            r = rig.run(tool, option)
            assert r.rc == 0 and r.out.startswith("Usage: " + tool), r
        for option in ("-V", "--version"):
            r = rig.run(tool, option)
            assert r.rc == 0 and r.out.startswith(tool + " 0.1 "), r
        for args in ([], ["--nonsense", rig.meta], [rig.meta, rig.meta]):
            r = rig.run(tool, *args)
            assert r.rc == 1 and "Usage:" in r.err, r
    bad(rig.run("circle_check", rig.dir), "neither a block device nor a file")
    bad(rig.run("circle_dump", rig.meta + "x"), "cannot be opened")


# ---------------------------------------------------------------- circle_dump

def test_dump_golden(rig):
    rig.circle(flags=4).lines.append("owner 1 uuid=9 generation=8 activation=0xfedcba9876543210 "
                                     "node_id=3")
    some(rig).slot(100, 5, owner=1, gen=8, dirty=0xff).slot(101, 6, seq=1)
    rig.make("slot 5 block=10 valid=0x3 dirty=0x3 gen=3 seq=999 flags=3", "jblock 10 10 1 5")
    r = rig.run("circle_dump", rig.meta)
    assert r.rc == 0, r
    same_as_golden("meta.json", r.out)
    json.loads(r.out)


def test_dump_label_golden(rig):
    rig.devices().label(peers=(2, 5)).label(copy=1, seq=6, peers=(2,), floor=0)
    rig.label(node_id=4, generation=2, flags=SSD | UNSEEN, state=RECOVERING)
    r = rig.run("circle_dump", "--label", rig.org)
    assert r.rc == 0, r
    same_as_golden("label.json", r.out)
    json.loads(r.out)


def test_dump_output(rig):
    some(rig).make()
    want = rig.run("circle_dump", rig.meta).out
    r = rig.run("circle_dump", "-o", rig.dir + "/out", rig.meta)
    assert r.rc == 0 and not r.out, r
    assert rig.bytes_of(rig.dir + "/out").decode() == want
    bad(rig.run("circle_dump", "--output", rig.dir + "/no/out", rig.meta), "cannot be written")
    bad(rig.run("circle_dump", "--output", "/dev/full", rig.meta), "output cannot be written")


def test_dump_repair(rig):
    some(rig).slot(8, 250).make()
    r = rig.run("circle_dump", rig.meta)
    assert r.rc == 1 and not r.out, r
    r = rig.run("circle_dump", "--repair", rig.meta)
    assert r.rc == 1 and json.loads(r.out)["load"]["damage"] == 1, r
    assert [s["slot"] for s in json.loads(r.out)["slots"]] == [0, 1, 90, 199], r
    rig.flip_mb(TABLE)
    slots = rig.dump("-r")["slots"]
    assert [s["slot"] for s in slots] == [90, 199], slots


def test_dump_superseded(rig):
    rig.super["flags"] = 0
    rig.slot(1, 5, dirty=1).slot(2, 5, seq=4, dirty=2).make()
    assert [s.get("superseded") for s in rig.dump()["slots"]] == [None, True]


def test_dump_label_blank_and_damaged(rig):
    rig.devices()
    bad(rig.run("circle_dump", "--label", rig.org), "no label at its end")
    assert json.loads(rig.run("circle_dump", "--label", "--sector", str(LABEL), rig.org).out) == {
        "sector": LABEL, "status": "blank", "copies": []}
    rig.label()
    rig.flip(rig.org, LABEL * SECTOR + 5 * 4096)
    r = rig.run("circle_dump", "--label", rig.org)
    assert r.rc == 1, r
    d = json.loads(r.out)
    assert d["status"] == "foreign" and d["offending_byte"] == 5 * 4096, d
    bad(rig.run("circle_dump", "--label", "--sector", "17000", rig.org), "cannot be read")
    bad(rig.run("circle_dump", "--label", "--sector", "-1", rig.org), "a number of 0..")


def test_dump_label_device(rig):
    path = rig.dir + "/label"
    for size in (1 << 20, 5 << 20):
        with open(path, "wb") as f:
            f.truncate(size)
        rig.label(path=path, sector=0)
        r = rig.run("circle_dump", "--label", path)
        assert r.rc == 0 and json.loads(r.out)["current"] == 1, r
        r = rig.identify(path)
        assert r.rc == 3 and "label device, label active" in r.out, r


# ---------------------------------------------------------------- circle_id

def test_id_metadata(rig):
    rig.circle().make()
    r = rig.identify(rig.meta)
    assert r.rc == 3 and "metadata device, stopped, set 55000000-0000" in r.out, r
    udev = rig.identify(rig.meta, "--udev")
    assert udev.rc == 0 and udev.out.splitlines() == [
        "ID_CIRCLE_TYPE=metadata", "ID_CIRCLE_STATE=stopped", "ID_CIRCLE_CLEAN=1",
        "ID_CIRCLE_SET_UUID=55000000-0000-0000-0000-000000000000", "ID_CIRCLE_GENERATION=3",
        "ID_CIRCLE_NODE=1"], udev
    rig.flip_mb(0)
    assert "stopped" in rig.identify(rig.meta).out
    rig.flip_mb(16)
    r = rig.identify(rig.meta)
    assert r.rc == 3 and r.out.endswith("metadata device, damaged\n"), r


def test_id_origin(rig):
    rig.devices()
    r = rig.identify(rig.org)
    assert r.rc == 2 and "nothing" in r.out, r
    r = rig.identify(rig.org, "--udev")
    assert r.rc == 0 and not r.out, r
    rig.label(peers=(2,))
    r = rig.identify(rig.org)
    assert r.rc == 3 and "origin, label active, not to be used by itself, set 55000000" in r.out, r
    assert "ID_CIRCLE_CLEAN=0" in rig.identify(rig.org, "--udev").out
    rig.label(copy=1, seq=6, state=CLEAN, flags=EMPTY)
    r = rig.identify(rig.org)
    assert r.rc == 0 and "origin, label clean, set" in r.out, r
    assert "ID_CIRCLE_CLEAN=1" in rig.identify(rig.org, "--udev").out
    r = rig.identify(rig.org, "-q")
    assert r.rc == 0 and not r.out, r
    rig.flip(rig.org, LABEL * SECTOR + 20 * 4096)
    r = rig.identify(rig.org)
    assert r.rc == 3 and "label damaged, not to be used by itself" in r.out, r


def test_id_of_small_things(rig):
    path = rig.dir + "/small"
    for size in (0, 100, 512, 4096, 65536, 70000, 1 << 20, 3 << 20):
        with open(path, "wb") as f:
            f.truncate(size)
        assert rig.identify(path).rc == 2
    with open(path, "wb") as f:
        f.write(b"dmcircle" + bytes(5000))
    assert rig.identify(path).rc == 3
    assert rig.identify(rig.dir).rc == 1


# ---------------------------------------------------------------- any bytes

def test_any_bytes_of_metadata(rig):
    rig.circle(flags=4).lines.append("owner 1 uuid=9 generation=8 activation=1 node_id=3")
    some(rig).slot(100, 5, owner=1, gen=8, dirty=0xff)
    rig.make("jblock 10 10 2 5 6 7", "jblock 11 10 2 8")
    r = rig.run("mutate", rig.meta, "6000", "1")
    assert r.rc == 0, r


def test_any_bytes_of_labels(rig):
    path = rig.dir + "/label"
    with open(path, "wb") as f:
        f.truncate(1 << 20)
    rig.label(path=path, sector=0, peers=(2, 3)).label(path=path, sector=0, node_id=2, generation=2)
    r = rig.run("mutate", path, "400", "2")
    assert r.rc == 0, r


assert JOURNAL + 72 == MBS and SLOTS > 2 * 84
