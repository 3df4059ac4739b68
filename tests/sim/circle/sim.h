/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * sim: what the parts of the simulator are to each other. One schedule at a time, all of it in `w`;
 * what is decided is decided by drivers/md/dm-circle/core.
 */
#ifndef SIM_H
#define SIM_H

#define __noreturn	__attribute__((noreturn))

#include "run.h"
#include "state.h"

/* trace.c */
u32 below(u32 n);
bool chance(u32 percent);
void trace(const char *fmt, ...) __printf(1, 2);
void violation(const char *fmt, ...) __printf(1, 2) __noreturn;
#define must(cond, ...)	do { if (!(cond)) violation(__VA_ARGS__); } while (0)
#define say(...)	do { if (tracing) trace(__VA_ARGS__); } while (0)

/* area.c: the label area */
void area_reset(void);
int area_judge(const struct head *h, struct circle_label_view *v, struct circle_label *cur);
bool area_newest(u32 id, u32 but, struct circle_label *l);
void area_write(struct head *h);
int area_written(struct head *h);
void area_abandon(struct head *h);
void area_flush(void);
void area_power_loss(void);

/* origin.c */
bool origin_fly(struct head *h, s8 op, u8 block, u8 pages, const ver *v);
void origin_land_any(void);
void origin_overdue(void);
void origin_settle(const struct head *h);
void area_late(const struct head *h, bool now);
void origin_flush(void);
void origin_power_loss(void);

/* ssd.c: the head's SSD */
bool ssd_writable(const struct head *h, u8 block);
bool ssd_freeing(const struct head *h);
bool ssd_commit(struct head *h);
void ssd_flush(struct head *h);
void ssd_put(struct head *h, u8 block, u8 pages, const ver *v);
void ssd_crash(struct head *h);
void ssd_load(struct head *h, bool unclean);
void ssd_lose(struct head *h);
bool ssd_voiding(const struct head *h);
ver head_shows(const struct head *h, u8 block, u8 page);

/* link.c: connections, as the head sees them */
void link_send(struct head *h, u8 peer, const struct msg *m);
bool link_step(struct head *h, u8 peer);
void link_break(struct head *h, u8 peer);
void link_lost(struct head *h, u8 peer);
void link_close(struct head *h, u8 peer);
u8 links_at_least(const struct head *h, enum link_state state);
bool link_release_all(struct head *h, u8 peer, bool keep);

/* peer.c: what a peer does */
void peer_serve(struct peer *p, struct head *h, struct msg *m);
bool peer_fence(struct peer *p, struct head *h);
void peer_release_all(struct peer *p, u64 gen, bool keep);
bool peer_release_old(struct peer *p, struct head *h, u8 block);
void peer_commit(struct peer *p);
void peer_crash(struct peer *p);
void peer_forget(struct peer *p);
void peer_start(struct peer *p);
u64 peer_instance(const struct peer *p);
u32 peer_room(const struct peer *p);
u8 peer_kept(const struct peer *p);

/* op.c: requests of the host, and what is done in the background */
struct op *op_new(struct head *h, enum op_kind kind, u8 block, u8 pages, bool shared);
void op_end(struct op *op);
bool op_busy(const struct head *h, u8 block, u8 pages, bool shared);
bool op_step(struct head *h, struct op *op);
void op_answer(struct head *h, u8 peer, const struct msg *ans);
void op_send(struct head *h, struct op *op, u8 mask, const struct msg *m);
void ops_forget(struct head *h, u8 mask);
bool may_go(const struct head *h);
void release_block(struct head *h, u8 block);
void sweep(struct head *h);

/* write.c, through.c, behind.c */
bool write_begin(struct head *h, bool fua);
bool write_step(struct head *h, struct op *op);
bool through_step(struct head *h, struct op *op);
bool flush_begin(struct head *h);
bool flush_step(struct head *h, struct op *op);
u8 undurable(const struct head *h);
bool writeback_begin(struct head *h);
bool writeback_step(struct head *h, struct op *op);
bool heal_begin(struct head *h);
bool heal_step(struct head *h, struct op *op);
void heal_lost(struct head *h, u8 peer);
void candidates(const struct head *h, u8 able, struct circle_cand *cand);
const u8 *domain_of(u8 host);

/* cached.c: what touches clean pages */
bool read_any(struct head *h);
bool promote(struct head *h);
bool evict(struct head *h);
bool discard(struct head *h);

/* steward.c */
bool is_blind(const struct head *h);
int look(struct head *h);
bool label_step(struct head *h);
void label_store(struct head *h);
bool steward(struct head *h);
void fenced(struct head *h, u64 gen);
void view_changed(struct head *h, int err);
bool stop_in_order(struct head *h);
u32 exposed(const struct head *h, u8 view, u8 degree);
u32 at_risk(const struct head *h);

/* activate.c, recover.c */
bool start(struct head *h, bool recover, bool fence);
void stop(struct head *h, const char *why);
bool activate_step(struct head *h);
void activate_stored(struct head *h, int err);
enum circle_verdict recover_check(struct head *h, bool fenced);
bool recover_wants(struct head *h, bool fenced);
bool recover_begin(struct head *h);
bool recover_step(struct head *h);

/* fault.c */
void crash_head(struct head *h);
bool fault(void);
bool start_any(void);
void wake_up(void);
struct head *any_owner(void);
void mend(void);

/* oracle.c */
void oracle_ack(const struct head *h, const struct op *op, bool through);
void oracle_flushed(const ver covers[][PAGES]);
void oracle_flushed_pages(u8 block, u8 pages, const ver *v);
void oracle_covers(struct op *op);
void oracle_show(struct head *h, u8 block, u8 page);
void oracle_landing(const struct flight *f, u8 page);
void oracle_power_loss(void);
void oracle_drained(struct head *h);
void oracle_live(struct head *h);
void oracle_step(void);
void oracle_end(void);
bool rightful(const struct head *h);

/* world.c */
void schedule(u64 seed);

#endif
