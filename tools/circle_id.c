// SPDX-License-Identifier: GPL-2.0-only
/*
 * circle_id: is this a metadata device of dm-circle, or does it have a label, and may it be used by
 * itself? For udev and for scripts: it reads only, asks for no exclusive access, and takes what is
 * damaged but was ours for ours.
 */
#include <linux/errno.h>
#include <linux/kernel.h>
#include <linux/string.h>
#include <dirent.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "area.h"
#include "meta.h"
#include "tool.h"

enum { EXIT_OURS = 0, EXIT_FAILED = 1, EXIT_NOTHING = 2, EXIT_KEEP_OFF = 3 };

struct found {
	const char *type;	/* metadata, origin, label; NULL: nothing of ours */
	const char *state;
	bool clean;		/* may be used by itself, if it is an origin */
	bool doubtful;		/* the label may be that of the last partition */
	bool have_set;
	u8 set_uuid[CIRCLE_UUID_SIZE];
	u64 generation;
	u32 node_id;
};

static const char usage_text[] =
"Usage: circle_id [options] <device or file>\n"
"\n"
"Tells whether this is a dm-circle metadata device, or has a dm-circle label.\n"
"\n"
"  -q, --quiet     say nothing, the exit code tells\n"
"      --udev      ID_CIRCLE_*=value lines; exit code 0 also if there is nothing\n"
"  -h, --help\n"
"  -V, --version\n"
"\n"
"Exit code: 0 an origin with a clean label, which may be used by itself;\n"
"1 an error; 2 nothing of dm-circle; 3 a metadata or label device, or an origin\n"
"that is not clean or whose label is damaged: not to be used by itself.\n";

enum { OPT_UDEV = 256 };

static const struct option long_options[] = {
	{ "quiet", no_argument, NULL, 'q' },
	{ "udev", no_argument, NULL, OPT_UDEV },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },
	{ NULL, 0, NULL, 0 },
};

static bool super_magic(const void *mb)
{
	return !memcmp(mb, CIRCLE_DISK_MAGIC, strlen(CIRCLE_DISK_MAGIC));
}

static void take_super(struct found *f, const struct circle_super *sb)
{
	f->have_set = sb->flags & CIRCLE_SBF_CIRCLE;
	memcpy(f->set_uuid, sb->set_uuid, CIRCLE_UUID_SIZE);
	f->generation = sb->generation;
	f->node_id = sb->node_id;
	f->clean = sb->flags & CIRCLE_SBF_CLEAN;
	f->state = f->clean ? "stopped" : "unclean";
}

static int look_for_super(const struct dev *dev, struct found *f)
{
	static const u32 where[2] = { 0, CIRCLE_SB_COPY1_MB };
	struct circle_super sb;
	u8 *mb = dev_alloc(CIRCLE_MB_SIZE);
	u64 seq = 0;
	int i, err = mb ? 0 : -ENOMEM;

	for (i = 0; i < 2 && !err; i++) {
		u64 sector = where[i] * CIRCLE_MB_SECTORS;

		if (dev->sectors < sector + CIRCLE_MB_SECTORS)
			break;
		err = dev_read(dev, sector, mb, CIRCLE_MB_SECTORS);
		if (err || !super_magic(mb))
			continue;
		f->type = "metadata";
		if (!f->state)
			f->state = "damaged";
		if (circle_super_decode(mb, &sb, tool_crc) || sb.seq < seq)
			continue;
		seq = sb.seq;
		take_super(f, &sb);
	}
	free(mb);
	return err;
}

/* Does the kernel know of partitions of this device? */
static bool has_partitions(const struct dev *dev)
{
	struct dirent *e;
	char path[512];
	bool yes = false;
	DIR *d;

	if (!S_ISBLK(dev->st.st_mode))
		return false;
	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u", major(dev->st.st_rdev),
		 minor(dev->st.st_rdev));
	d = opendir(path);
	while (d && !yes && (e = readdir(d))) {
		snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/%s/partition",
			 major(dev->st.st_rdev), minor(dev->st.st_rdev), e->d_name);
		yes = !access(path, F_OK);
	}
	if (d)
		closedir(d);
	return yes;
}

static void take_area(struct found *f, const struct area *a)
{
	const struct circle_label *l = &a->cur;

	f->type = a->sector ? "origin" : "label";
	f->state = "damaged";
	if (a->view.status)
		return;
	f->have_set = true;
	memcpy(f->set_uuid, l->set_uuid, CIRCLE_UUID_SIZE);
	f->generation = l->generation;
	f->node_id = l->node_id;
	f->state = tool_label_state(l->state);
	f->clean = l->state == CIRCLE_LS_CLEAN && !a->view.tie;
	f->doubtful = a->sector && l->origin_sectors != a->sector && has_partitions(a->dev);
}

static int look_for_label(const struct dev *dev, struct found *f)
{
	struct area a;
	int err = area_init(&a, dev);

	if (!err)
		err = area_find(&a);
	if (!err)
		take_area(f, &a);
	area_exit(&a);
	return err == -ENODATA ? 0 : err;
}

static void say(const struct found *f, const char *path)
{
	char uuid[TOOL_UUID_TEXT];

	if (!f->type) {
		printf("%s: nothing of dm-circle\n", path);
		return;
	}
	tool_uuid(f->set_uuid, uuid);
	if (!strcmp(f->type, "metadata"))
		printf("%s: metadata device, %s", path, f->state);
	else
		printf("%s: %s, label %s%s", path,
		       !strcmp(f->type, "label") ? "label device" : "origin", f->state,
		       f->clean ? "" : ", not to be used by itself");
	if (f->have_set)
		printf(", set %s, generation %llu, node %u", uuid, f->generation, f->node_id);
	putchar('\n');
}

static void say_udev(const struct found *f)
{
	char uuid[TOOL_UUID_TEXT];

	if (!f->type)
		return;
	printf("ID_CIRCLE_TYPE=%s\nID_CIRCLE_STATE=%s\nID_CIRCLE_CLEAN=%u\n", f->type, f->state,
	       f->clean);
	if (f->doubtful)
		printf("ID_CIRCLE_DOUBTFUL=1\n");
	if (!f->have_set)
		return;
	tool_uuid(f->set_uuid, uuid);
	printf("ID_CIRCLE_SET_UUID=%s\nID_CIRCLE_GENERATION=%llu\nID_CIRCLE_NODE=%u\n", uuid,
	       f->generation, f->node_id);
}

static int verdict(const struct found *f)
{
	if (!f->type)
		return EXIT_NOTHING;
	return !strcmp(f->type, "origin") && f->clean ? EXIT_OURS : EXIT_KEEP_OFF;
}

static int run(const char *path, bool udev, bool quiet)
{
	struct found f = { .type = NULL };
	struct dev dev;
	int err;

	if (dev_open(&dev, path, 0))
		return EXIT_FAILED;
	err = look_for_super(&dev, &f);
	if (!err && !f.type)
		err = look_for_label(&dev, &f);
	dev_close(&dev);
	if (err) {
		tool_err("%s cannot be read: %s", path, strerror(-err));
		return EXIT_FAILED;
	}
	if (udev)
		say_udev(&f);
	else if (!quiet)
		say(&f, path);
	return udev ? 0 : verdict(&f);
}

int main(int argc, char **argv)
{
	bool udev = false, quiet = false;
	int c;

	tool_begin("circle_id", TOOL_SAY_ALL);
	while ((c = getopt_long(argc, argv, "qhV", long_options, NULL)) != -1) {
		switch (c) {
		case 'q':
			quiet = true;
			tool_begin("circle_id", TOOL_SAY_NOTHING);
			break;
		case OPT_UDEV:
			udev = true;
			break;
		case 'h':
			fputs(usage_text, stdout);
			return 0;
		case 'V':
			tool_version();
			return 0;
		default:
			fputs(usage_text, stderr);
			return EXIT_FAILED;
		}
	}
	if (optind + 1 != argc) {
		fputs(usage_text, stderr);
		return EXIT_FAILED;
	}
	return run(argv[optind], udev, quiet);
}
