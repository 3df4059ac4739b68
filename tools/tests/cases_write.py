# SPDX-License-Identifier: GPL-2.0-only
"""circle_writeback: what goes to the origin, what is said of it, and what is refused."""
import os
import shutil
import struct

from cases_read import bad, good
from image import (ACTIVE, BLOCK, CLEAN, EMPTY, INTENT, LABEL, LOST, MAPPED, MB, RECOVERING, SECTOR,
                   SLOTS, SSD, TABLE, TAKING, UNSEEN, WEAK)

DIED = 86


def dirty_rig(rig):
    """Dirty pages here and there; what must be at the origin afterwards."""
    rig.slot(0, 5, dirty=0x81).slot(1, 6).slot(90, 249, 0x3f, dirty=0x21).slot(
        199, 7, 0x1, dirty=0x1, flags=MAPPED | INTENT).slot(50, 100, dirty=0xff)
    rig.make("slot 5 block=10 valid=0x3 dirty=0x3 gen=3 seq=999 flags=3", "jblock 10 10 1 5")
    rig.devices()
    return {5: (0, 0x81), 249: (90, 0x21), 7: (199, 0x1), 100: (50, 0xff), 10: (5, 0x3)}


def circle_rig(rig, peers=(), **label):
    """The same, a circle's."""
    rig.circle(**{"flags": 5 if label.pop("clean", True) else 4})
    rig.lines.append("owner 1 uuid=9 generation=8 activation=1 node_id=3")
    rig.slot(120, 30, owner=1, gen=8, dirty=0xff)
    want = dirty_rig(rig)
    rig.label(peers=peers, **label)
    return want


def all_clean(rig):
    """Nothing is dirty in the metadata, nor may be; they load, and nothing else has changed."""
    good(rig.check())
    d = rig.dump()
    assert d["load"]["own_dirty"] == 0 and not d["load"]["unclean"], d["load"]
    assert d["load"]["own"] == 6, d["load"]
    return d


def untouched(rig, *args, text="refused"):
    """It refuses, and writes nothing."""
    before = [rig.bytes_of(p) for p in (rig.meta, rig.org, rig.ssd)]
    bad(rig.writeback(*args), text)
    assert before == [rig.bytes_of(p) for p in (rig.meta, rig.org, rig.ssd)]


def crc32c(data):
    """In the kernel's convention."""
    crc = 0xffffffff
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    return crc


def put_mark(rig, state, flip=0):
    """The void mark of these metadata, behind the last slot."""
    uuid = rig.bytes_of(rig.meta)[40:56]
    mark = bytearray(struct.pack("<8sIHH16sI", b"dmCirVod", 0, 1, state, uuid, 5).ljust(4096, b"\0"))
    struct.pack_into("<I", mark, 8, crc32c(mark))
    mark[100] ^= flip
    with open(rig.ssd, "r+b") as f:
        f.seek(SLOTS * BLOCK * SECTOR)
        f.write(mark)


# ---------------------------------------------------------------- a local cache

def test_local(rig):
    want = dirty_rig(rig)
    before = rig.bytes_of(rig.ssd)
    good(rig.writeback(), "5 of 5 dirty blocks .15 pages. written")
    assert not rig.origin_wrong(want), rig.origin_wrong(want)
    all_clean(rig)
    assert before == rig.bytes_of(rig.ssd)
    before = [rig.bytes_of(p) for p in (rig.meta, rig.org)]
    good(rig.writeback(), "0 of 0")
    assert before == [rig.bytes_of(p) for p in (rig.meta, rig.org)]


def test_void_flag(rig):
    rig.super["flags"] = 8
    want = dirty_rig(rig)
    untouched(rig, text="void")
    before = rig.bytes_of(rig.meta)
    good(rig.writeback("--force"), "5 of 5")
    assert not rig.origin_wrong(want), rig.origin_wrong(want)
    assert before == rig.bytes_of(rig.meta)         # they stay so


def test_void_mark(rig):
    want = dirty_rig(rig)
    put_mark(rig, 1)
    untouched(rig, text="void")
    put_mark(rig, 1, flip=1)
    untouched(rig, text="cannot be read")
    put_mark(rig, 2)
    untouched(rig, text="the origin has everything")
    untouched(rig, "--force", text="the origin has everything")
    put_mark(rig, 1)
    good(rig.writeback("--force"), "5 of 5")
    assert not rig.origin_wrong(want), rig.origin_wrong(want)



def test_local_unclean(rig):
    rig.super["flags"] = 0
    rig.slot(0, 5, 0x0f, dirty=0x1, flags=MAPPED | INTENT).slot(1, 6, dirty=0x2).slot(2, 8)
    rig.slot(3, 9, flags=MAPPED | INTENT).make().devices()
    good(rig.writeback(), "3 of 3")
    want = {5: (0, 0x0f), 6: (1, 0x2), 9: (3, 0xff)}
    assert not rig.origin_wrong(want), rig.origin_wrong(want)
    d = rig.dump()
    assert not d["load"]["unclean"] and d["load"]["own_dirty"] == 0, d


def test_local_doubles(rig):
    rig.super["flags"] = 0
    rig.slot(0, 5, dirty=0xff).slot(1, 5, dirty=0x1).slot(2, 7, dirty=0x3).slot(3, 7, seq=1)
    rig.slot(4, 7, seq=2, dirty=0xff).make().devices()
    good(rig.writeback(), "2 of 2")
    want = {5: (1, 0x1), 7: (2, 0x3)}
    assert not rig.origin_wrong(want), rig.origin_wrong(want)
    assert [s["slot"] for s in rig.dump()["slots"]] == [1, 2]


def test_local_doubles_plain(rig):
    """What may be dirty counts, even if what is plain has the higher tag."""
    rig.super["flags"] = 0
    rig.slot(0, 5, dirty=0xff).slot(1, 5, seq=900).slot(2, 7, seq=900)
    rig.slot(3, 7, flags=MAPPED | INTENT, valid=0x3).make().devices()
    good(rig.writeback(), "2 of 2")
    want = {5: (0, 0xff), 7: (3, 0x3)}
    assert not rig.origin_wrong(want), rig.origin_wrong(want)


def test_local_checkpoint_interrupted(rig):
    """What is dirty is clean in pages of a checkpoint that did not end: they were not looked at
    since, and what was written over in place meanwhile is in no journal."""
    rig.super["flags"] = 0
    rig.slot(0, 5, dirty=0x3, flags=MAPPED | INTENT).slot(90, 7, dirty=0xff)
    rig.slot(1, 9)
    rig.make("slot 2 block=11 valid=0xff dirty=0x1 gen=3 seq=500 flags=1", "jblock 10 10 1 2",
             "slot 0 block=5 valid=0xff gen=3 seq=100 flags=1", "slot 2",
             "slot 90 block=7 valid=0xff gen=3 seq=190 flags=1", "page B 0 10", "page B 1 10")
    rig.devices()
    good(rig.writeback(), "3 of 3")
    want = {5: (0, 0xff), 7: (90, 0xff), 11: (2, 0x1)}
    assert not rig.origin_wrong(want), rig.origin_wrong(want)
    good(rig.check())
    d = rig.dump()
    assert d["load"]["own"] == 4 and not d["load"]["own_dirty"], d["load"]


def test_local_checkpoint_interrupted_and_a_page_lost(rig):
    rig.slot(90, 7, dirty=0xff)
    rig.make("slot 90 block=7 valid=0xff gen=3 seq=190 flags=1", "page B 1 10").devices()
    rig.flip_mb(TABLE + 1)
    untouched(rig, text="damaged")


def test_local_quiet(rig):
    dirty_rig(rig)
    r = rig.writeback("-q")
    assert r.rc == 0 and not r.out and not r.err, r


def test_local_no_metadata_update(rig):
    want = dirty_rig(rig)
    before = rig.bytes_of(rig.meta)
    good(rig.writeback("--no-metadata-update"))
    assert not rig.origin_wrong(want) and before == rig.bytes_of(rig.meta)


def test_local_buffer_sizes(rig):
    want = dirty_rig(rig)
    good(rig.writeback("--buffer-size-meg", "7"))
    assert not rig.origin_wrong(want)
    bad(rig.writeback("--buffer-size-meg", "0"), "a number of 1..256")
    bad(rig.writeback("--retry-count", "x"), "a number of 0..1000")


def test_local_origin_fails(rig):
    want = dirty_rig(rig)
    at = 100 * BLOCK * SECTOR
    r = rig.writeback("--list-failed-blocks", eio=f"w:org:{at + 4096}:1:0")
    bad(r, "block 100: the origin cannot be written: Input/output error")
    assert r.out == "block 100 slot 50 pages 0xff\n", r
    del want[100]
    assert not set(rig.origin_wrong(want)) - set(range(6400, 6464))
    d = rig.dump()
    assert d["load"]["own_dirty"] == 1 and d["load"]["own_dirty_pages"] == 8, d["load"]
    good(rig.check())
    r = rig.writeback("--retry-count", "3", eio=f"w:org:{at}:1:3")
    good(r, "1 of 1")
    assert "what it took is written once more" in r.err, r
    all_clean(rig)


def test_local_ssd_fails(rig):
    rig.super["flags"] = 0
    want = dirty_rig(rig)
    bad(rig.writeback(eio=f"r:ssd:{199 * BLOCK * SECTOR}:1:0"), "block 7: the SSD cannot be read")
    del want[7]
    assert not rig.origin_wrong(want)
    d = rig.dump()
    assert not d["load"]["unclean"] and d["load"]["own_dirty_pages"] == 1, d["load"]


def test_local_flush_fails(rig):
    dirty_rig(rig)
    before = rig.bytes_of(rig.meta)
    bad(rig.writeback(eio="f:org:0:0:0"), "origin cannot be flushed.*all stays dirty")
    bad(rig.writeback(eio="f:ssd:0:0:0"), "SSD cannot be flushed")
    assert before == rig.bytes_of(rig.meta)
    bad(rig.writeback(eio="f:meta:0:0:0"), "meta cannot be written")
    good(rig.check())


def test_local_lost(rig):
    rig.slot(0, 5, dirty=1).slot(1, 6, dirty=1, flags=MAPPED | LOST).make().devices()
    r = rig.writeback("--list-failed-blocks")
    bad(r, "block 6: the only copy of it is lost")
    assert r.out == "block 6 slot 1 pages 0x1\n", r
    assert not rig.origin_wrong({5: (0, 1)})
    assert rig.dump()["load"]["own_dirty"] == 1


def test_local_refused(rig):
    dirty_rig(rig)
    untouched(rig, "--label-device", rig.dir, text="neither a block device")
    rig.mkimage(f"meta {rig.dir}/other 256")
    untouched(rig, "--label-device", rig.dir + "/other", text="a local cache has no label")
    r = rig.run("circle_writeback", "--metadata-device", rig.meta, "--origin-device", rig.org,
                "--fast-device", rig.org)
    bad(r, "in use|named twice")
    r = rig.run("circle_writeback", "--metadata-device", rig.meta, "--origin-device", rig.org)
    bad(r, "Usage")
    os.truncate(rig.ssd, SLOTS * BLOCK * SECTOR - 512)
    untouched(rig, text="ssd is smaller than the metadata say")
    os.truncate(rig.org, 15979 * SECTOR)
    os.truncate(rig.ssd, SLOTS * BLOCK * SECTOR)
    untouched(rig, text="org is smaller than the metadata say")
    rig.devices()
    rig.flip_mb(32)
    untouched(rig, text="refused: the metadata are damaged")


# ---------------------------------------------------------------- power losses

def crash_points(rig, judge, seeds=(0, 1, 2), *args):
    """Power is lost before each write and flush in turn; judge() looks at what is left; then it
    is run again, to its end. Returns how many there were."""
    for path in (rig.meta, rig.org):
        shutil.copyfile(path, path + ".keep")
    n = 0
    while True:
        n += 1
        for seed in seeds:
            for path in (rig.meta, rig.org):
                shutil.copyfile(path + ".keep", path)
            r = rig.writeback(*args, die=n, seed=seed)
            if r.rc == 0:
                return n - 1
            assert r.rc == DIED, (n, seed, r)
            judge(f"before op {n}, seed {seed}")
            good(rig.writeback(*args))


def test_local_power_losses(rig):
    rig.super["flags"] = 0
    want = dirty_rig(rig)

    def judge(where):
        good(rig.check())
        there = {s["block"]: s for s in rig.dump()["slots"] if not s["owner"]}
        wrong = {n // BLOCK for n in rig.origin_wrong(want)}
        for block in want:
            s = there[block]
            if int(s.get("dirty_at_load", s["dirty"]), 0) == 0:
                assert block not in wrong, (where, block)

    points = crash_points(rig, judge)
    assert points > 12, points
    assert not rig.origin_wrong(want), rig.origin_wrong(want)
    all_clean(rig)


def test_circle_power_losses(rig):
    want = circle_rig(rig, peers=(2, 3))

    def judge(where):
        good(rig.check("--label", rig.org))
        d = rig.dump_label()
        states = [c["state"] for c in d["copies"] if c["status"] == "valid"]
        clean = rig.identify(rig.org).rc == 0
        dirty = rig.dump()["load"]["own_dirty"]
        if clean:
            assert not rig.origin_wrong(want), where
        else:
            assert dirty == 5, (where, states)
            newest = max((c for c in d["copies"] if c["status"] == "valid"),
                         key=lambda c: (c["generation"], c["seq"]))
            assert newest["flags"] == "ssd" and newest["floor"] == 2, (where, newest)

    points = crash_points(rig, judge)
    assert points > 25, points
    assert not rig.origin_wrong(want)
    all_clean(rig)


# ---------------------------------------------------------------- a circle

def test_circle(rig):
    want = circle_rig(rig, peers=(2, 3))
    good(rig.writeback(), "5 of 5")
    assert not rig.origin_wrong(want)
    d = all_clean(rig)
    assert d["load"]["lent"] == 1, d
    lent = [s for s in d["slots"] if s["owner"]]
    assert lent[0]["dirty"] == "0xff" and lent[0]["gen"] == 8 and lent[0]["block"] == 30, lent
    l = rig.dump_label()
    newest = max(l["copies"], key=lambda c: c["seq"])
    assert newest["state"] == "clean" and newest["flags"] == "empty", newest
    assert newest["generation"] == 4 and newest["floor"] == 0 and newest["degree"] == 2, newest
    assert [p["in_view"] for p in newest["peers"]] == [False, False], newest
    assert d["superblock"]["generation"] == 4
    assert d["superblock"]["activation"] == newest["activation"] != "0x7"
    good(rig.check("--label", rig.org), "nothing is dirty")
    assert rig.identify(rig.org).rc == 0
    before = [rig.bytes_of(p) for p in (rig.meta, rig.org)]
    good(rig.writeback(), "label says that nothing is dirty")
    assert before == [rig.bytes_of(p) for p in (rig.meta, rig.org)]


def test_circle_nothing_dirty(rig):
    rig.circle().slot(1, 1).make().devices().label(peers=(2,))
    good(rig.writeback(), "0 of 0")
    assert rig.identify(rig.org).rc == 0


def test_circle_degree_0_unclean(rig):
    want = circle_rig(rig, clean=False)
    good(rig.writeback(), "complete up to the last FLUSH")
    assert not rig.origin_wrong(want), rig.origin_wrong(want)
    all_clean(rig)
    assert rig.identify(rig.org).rc == 0


def test_circle_unclean_with_peers(rig):
    want = circle_rig(rig, clean=False, peers=(2, 3))
    untouched(rig, text="2 peers of the view may have newer data than this SSD. Create the device")
    r = rig.writeback("--force")
    good(r, "--force: node 1, generation 3: .* those of 2 peers are not asked for")
    assert not rig.origin_wrong(want)
    all_clean(rig)
    assert rig.identify(rig.org).rc == 0


def test_circle_forced_says_weak(rig):
    circle_rig(rig, clean=False, peers=(2,))
    assert rig.writeback("--force", die=20, seed=0).rc == DIED
    newest = max(rig.dump_label()["copies"], key=lambda c: c["seq"])
    assert newest["state"] == "recovering" and newest["flags"] == "ssd weak", newest
    untouched(rig, text="a recovery has begun")
    good(rig.writeback("--force"))


def test_circle_refused(rig):
    for fields, text in ((dict(generation=4), "has taken over at generation 4"),
                         (dict(generation=4, node_id=2), "node 2 has taken over"),
                         (dict(activation=8), "has taken over"),
                         (dict(generation=2), "was the origin rolled back"),
                         (dict(set_uuid=1), "belong to another origin"),
                         (dict(flags=0), "does not count this SSD"),
                         (dict(flags=WEAK, state=RECOVERING), "does not count this SSD"),
                         (dict(flags=UNSEEN, state=TAKING), "does not count this SSD"),
                         (dict(flags=EMPTY, peers=(2,)), "does not count this SSD"),
                         (dict(origin_sectors=16000), "16000")):
        circle_rig(rig, **fields)
        untouched(rig, "--force", text=text)
    circle_rig(rig)
    untouched(rig, "--no-metadata-update", text="refused: in a circle")
    untouched(rig, "--label-device", rig.meta, text="in use|named twice")
    rig.label(node_id=4, activation=6, state=TAKING)
    untouched(rig, "--force", text="another node has generation 3")
    rig.devices()
    untouched(rig, "--force", text="there is no label")
    rig.flip(rig.org, LABEL * SECTOR + 9)
    untouched(rig, "--force", text="neither blank nor a label")


def test_circle_empty_label(rig):
    """The origin may have been used since: what intents call dirty must not go there."""
    for state in (ACTIVE, CLEAN, TAKING):
        circle_rig(rig, clean=False, flags=EMPTY, state=state)
        before = [rig.bytes_of(p) for p in (rig.meta, rig.org)]
        good(rig.writeback(), "the label says that nothing is dirty")
        good(rig.writeback("--force"), "the label says that nothing is dirty")
        assert before == [rig.bytes_of(p) for p in (rig.meta, rig.org)]


def test_circle_never_used(rig):
    rig.circle(generation=0, activation=0).make().devices()
    good(rig.writeback(), "never used")
    rig.label(generation=9)
    untouched(rig, "--force", text="the origin is not whole: node 1, generation 9")
    rig.label(generation=9, state=CLEAN)
    good(rig.writeback(), "never used")
    rig.slot(1, 1, dirty=1, gen=0).make()
    untouched(rig, "--force", text="never the label's")


def test_circle_restart_that_failed(rig):
    """A restart that got as far as its own taking label, after a stop in order or not."""
    rig.super.update(next_generation=4, next_activation=9)
    want = circle_rig(rig, peers=(2,), generation=4, activation=9, state=TAKING, seq=6)
    good(rig.writeback(), "5 of 5")
    assert not rig.origin_wrong(want)
    rig.lines.clear()
    circle_rig(rig, clean=False, peers=(2,), generation=4, activation=9, state=TAKING, seq=6)
    untouched(rig, text="may have newer data")


def test_circle_origin_fails(rig):
    want = circle_rig(rig, peers=(2,))
    at = 100 * BLOCK * SECTOR
    r = rig.writeback(eio=f"w:org:{at}:1:0")
    bad(r, "nothing is marked clean")
    assert rig.dump()["load"]["own_dirty"] == 5
    assert rig.identify(rig.org).rc == 3
    newest = max(rig.dump_label()["copies"], key=lambda c: c["seq"])
    assert newest["state"] == "recovering" and newest["flags"] == "ssd", newest
    good(rig.writeback())
    assert not rig.origin_wrong(want)


def test_circle_label_fails(rig):
    circle_rig(rig, peers=(2,))
    bad(rig.writeback(eio=f"w:org:{LABEL * SECTOR}:{1 << 20}:0"), "the label cannot be written")
    assert not rig.origin_wrong({})
    good(rig.check("--label", rig.org))
    bad(rig.writeback(eio=f"r:org:{LABEL * SECTOR}:{1 << 20}:0"), "the label cannot be read")
    good(rig.writeback())


def taken_by_another(rig, generation):
    """A file with a label of node 2, and where it would be written."""
    path = rig.dir + "/theirs"
    rig.mkimage(f"meta {path} 4096")
    rig.label(path=path, sector=0, node_id=2, generation=generation, activation=1 << 62,
              state=TAKING)
    with open(path, "r+b") as f:
        f.seek(2 * MB)
        mb = f.read(MB)
        f.seek(0)
        f.write(mb)
    return f"{path}:{rig.org}:{LABEL * SECTOR + 2 * MB}"


def test_circle_is_taken_over_meanwhile(rig):
    """A look is due before each write here. Writes 1 to 5 are superblocks and labels."""
    for n in range(1, 12):
        want = circle_rig(rig, peers=(2,))
        where = taken_by_another(rig, 4 if n % 2 and n < 4 else 5)
        r = rig.writeback(at=f"{n}:{where}", clock=5000)
        bad(r, "another node is taking over, at generation [45]: withdrawn")
        wrong = {x // BLOCK for x in rig.origin_wrong({})}
        assert len(wrong) <= max(0, n - 5), (n, wrong)
        assert rig.dump()["load"]["own_dirty"] == 5
        assert rig.identify(rig.org).rc == 3
        untouched(rig, "--force", text="has taken over|is about to take over|another node has")
        assert len(want) == 5


def test_circle_label_device(rig):
    path = rig.dir + "/label"
    with open(path, "wb") as f:
        f.truncate(1 << 20)
    rig.circle(label_kind=2, label_sector=0)
    rig.super["label_kind"], rig.super["label_sector"] = 2, 0
    want = dirty_rig(rig)
    rig.label(path=path, sector=0)
    untouched(rig, text="name it with --label-device")
    good(rig.writeback("--label-device", path), "5 of 5")
    assert not rig.origin_wrong(want)
    assert "label device, label clean" in rig.identify(path).out


def test_in_use(rig):
    dirty_rig(rig)
    fd = os.open(rig.meta, os.O_RDONLY)
    import fcntl                        # pylint: disable=import-outside-toplevel
    fcntl.flock(fd, fcntl.LOCK_EX)
    untouched(rig, text="meta is in use")
    bad(rig.check(), "meta is in use")
    os.close(fd)
    good(rig.check())


assert SSD == 1
