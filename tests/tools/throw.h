/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * throw: what the two sides of circle-throw share: a connection, its random numbers, frames that
 * are right, and frames that are not.
 */
#ifndef THROW_H
#define THROW_H

#include <linux/errno.h>
#include <linux/kernel.h>
#include <linux/string.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "crc.h"
#include "disk.h"
#include "wire.h"

#define BLOCK	128		/* sectors, of all nodes */
#define PAGE	8
#define HEADER	sizeof(struct circle_wire_header)
#define HELLO	sizeof(struct circle_wire_hello)
#define JUNK	(2u << 20)

struct conn {
	int fd;
	u64 rand;
	u8 uuid[CIRCLE_UUID_SIZE];
	bool victim;		/* the set is another's: it is never taken from that */
	bool fenced;		/* we have sent a FENCE */
	u64 gen, act, id, seq;
	struct circle_frame last, parked;	/* REPLICATE of a replica; the same before a KEEP */
	u64 good;		/* a listener's: so many answers are right, */
	u32 evil;		/* and then how they are */
	u8 head[sizeof(struct circle_wire_header)];
	u32 have, skip;		/* bytes of head; of payload that are still to come */
	bool taking, dead;	/* in got(); it sent what is no frame */
	void (*got)(struct conn *c, const struct circle_frame *f);
};

struct count {			/* of the process */
	u64 connections, answers, sent, wrong;
	u64 of[CIRCLE_WT_NR][CIRCLE_WS_NR];	/* frames that came */
};

extern struct count counts;
extern u8 junk[JUNK];
extern u64 seed;
extern u32 self, other;		/* nodes */
extern struct sockaddr_in addr;

void die(const char *what) __attribute__((noreturn));
void count(u64 *n);
bool over(void);		/* time is up */

u64 rand64(struct conn *c);
bool one_in(struct conn *c, u32 n);
u64 odd_value(struct conn *c);

/* A frame that the other end must not send. */
void complain(const char *what, const struct circle_frame *f);
/* What has come goes to c->got; so many ms for the first of it. False: it is over. */
bool drain(struct conn *c, int ms);
bool put(struct conn *c, const void *data, size_t len);		/* drains too */
/* len: of the payload that is sent, whatever the frame says. */
bool put_frame(struct conn *c, const struct circle_frame *f, const void *data, u32 len);
/* One field gets another value; the checksum will be right. */
void mutate(struct conn *c, struct circle_frame *f);
/* What is a possible payload. */
const u8 *some_junk(struct conn *c);
void hello_of(struct conn *c, u8 *buf);
int new_socket(void);

/* throw_fake.c; so many answers are right at least. full: but there is no space for a FLUSH. */
void listen_as(u64 right, bool full);

#endif
