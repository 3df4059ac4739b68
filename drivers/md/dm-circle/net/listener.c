// SPDX-License-Identifier: GPL-2.0-only
/*
 * listener: one thread that sleeps in accept(). It is stopped by shutting the listening socket
 * down, which ends accept() from any state; an accept() that fails otherwise (no memory, no
 * more descriptors of some kind) is tried again after a pause, which a stop ends too.
 *
 * The listener belongs to whoever started it. Its thread uses it until kthread_stop() has
 * returned, and only then it is freed. No lock: `stopping` is set once.
 */
#define pr_fmt(fmt) "circle: " fmt

#include "listener.h"

#include <linux/kthread.h>
#include <linux/net.h>
#include <linux/printk.h>
#include <linux/sched/mm.h>
#include <linux/sched/task.h>
#include <linux/slab.h>
#include <linux/wait.h>
#include <net/inet_sock.h>
#include <net/sock.h>

#include "sock.h"

#define PAUSE_MS	200	/* after a failed accept() */

struct circle_listener {
	struct socket *sock;
	struct task_struct *task;
	wait_queue_head_t wait;		/* for stopping, in a pause */
	bool stopping;
	void (*accepted)(void *priv, struct socket *sock);
	void *priv;
};

static void accept_one(struct circle_listener *l)
{
	struct socket *sock;
	int err;

	err = kernel_accept(l->sock, &sock, 0);
	if (!err) {
		circle_sock_setup(sock);
		l->accepted(l->priv, sock);
		return;
	}
	if (READ_ONCE(l->stopping))
		return;
	pr_warn_ratelimited("port %u: accept: %d\n", circle_listener_port(l), err);
	wait_event_idle_timeout(l->wait, READ_ONCE(l->stopping), msecs_to_jiffies(PAUSE_MS));
}

static int listen_thread(void *listener)
{
	unsigned int noio = memalloc_noio_save();
	struct circle_listener *l = listener;

	while (!READ_ONCE(l->stopping))
		accept_one(l);
	memalloc_noio_restore(noio);
	return 0;
}

static int run(struct circle_listener *l)
{
	struct task_struct *t;

	t = kthread_create(listen_thread, l, "circle_listen/%u", circle_listener_port(l));
	if (IS_ERR(t))
		return PTR_ERR(t);
	l->task = get_task_struct(t);
	wake_up_process(t);
	return 0;
}

static struct circle_listener *new_listener(struct socket *sock)
{
	struct circle_listener *l = kzalloc(sizeof(*l), GFP_KERNEL);

	if (!l)
		return NULL;
	l->sock = sock;
	init_waitqueue_head(&l->wait);
	return l;
}

struct circle_listener *circle_listener_start(struct net *net, const struct circle_addr *addr,
					      void (*accepted)(void *priv, struct socket *sock),
					      void *priv)
{
	struct circle_listener *l;
	struct socket *sock;
	int err;

	sock = circle_sock_listen(net, addr);
	if (IS_ERR(sock))
		return ERR_CAST(sock);
	l = new_listener(sock);
	if (!l) {
		err = -ENOMEM;
		goto out_sock;
	}
	l->accepted = accepted;
	l->priv = priv;
	err = run(l);
	if (!err)
		return l;
	kfree(l);
out_sock:
	circle_sock_release(sock);
	return ERR_PTR(err);
}

void circle_listener_stop(struct circle_listener *l)
{
	if (!l)
		return;
	WRITE_ONCE(l->stopping, true);
	wake_up(&l->wait);
	kernel_sock_shutdown(l->sock, SHUT_RDWR);
	kthread_stop(l->task);
	put_task_struct(l->task);
	circle_sock_release(l->sock);
	kfree(l);
}

u16 circle_listener_port(const struct circle_listener *l)
{
	return ntohs(inet_sk(l->sock->sk)->inet_sport);
}
