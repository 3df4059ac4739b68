// SPDX-License-Identifier: GPL-2.0-only
/*
 * circle-io: what tests do to devices again and again, in one static process instead of many: in an
 * emulator a dd takes a tenth of a second before it does anything. See README.rst.
 *
 *	circle-io scribble DEV SECTORS COUNT SEED
 *	circle-io piece DEV FILE SECTOR SECTORS FROM SEED
 *	circle-io same DEV FILE [SECTORS [SKIP]]
 *	circle-io put DEV BYTES [sync] <<<"BLOCK WORD..."
 *	circle-io has DEV BYTES <<<"BLOCK WORD..."
 *	circle-io zero DEV <<<"FIRST+COUNT..."
 *	circle-io sum DEV
 *	circle-io fdatasync DEV
 *	circle-io status NAME [WHAT]
 *	circle-io line NAME
 *	circle-io table NAME [noflush] [nolockfs] <<<"TABLE"
 *	circle-io nth NAME create|remove|reload FIRST STEP [DEV...] <<<"TABLE"
 *	circle-io log MARK
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/dm-ioctl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define PAGE	4096
#define SECTOR	512
#define CHUNK	(1 << 18)
#define TAIL	3	/* sectors */
#define LINES	16	/* of a table */
#define LONG	65536	/* bytes of a table or a status */

static char buf[CHUNK] __attribute__((aligned(PAGE)));
static char want[CHUNK];

static void __attribute__((noreturn, format(printf, 1, 2))) die(const char *fmt, ...)
{
	va_list args;

	fputs("circle-io: ", stderr);
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fputc('\n', stderr);
	exit(1);
}

static uint64_t number(const char *s)
{
	char *end;
	uint64_t n;

	errno = 0;
	n = strtoull(s, &end, 10);
	if (errno || !*s || *end)
		die("\"%s\" is no number", s);
	return n;
}

static int open_dev(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC);

	if (fd < 0)
		die("%s: %s", path, strerror(errno));
	return fd;
}

static void write_at(int fd, size_t len, uint64_t at)
{
	ssize_t n = pwrite(fd, buf, len, at);

	if (n != (ssize_t)len)
		die("write of %zu at %llu: %s", len, (unsigned long long)at,
		    n < 0 ? strerror(errno) : "cut short");
}

/* As much as there is. */
static size_t read_at(int fd, char *to, size_t len, uint64_t at)
{
	size_t done = 0;

	while (done < len) {
		ssize_t n = pread(fd, to + done, len - done, at + done);

		if (n < 0)
			die("read at %llu: %s", (unsigned long long)(at + done), strerror(errno));
		if (!n)
			break;
		done += n;
	}
	return done;
}

static uint64_t state;

static uint64_t rand64(void)		/* splitmix64 */
{
	uint64_t v = state += 0x9e3779b97f4a7c15ull;

	v = (v ^ v >> 30) * 0xbf58476d1ce4e5b9ull;
	v = (v ^ v >> 27) * 0x94d049bb133111ebull;
	return v ^ v >> 31;
}

static void fill_random(size_t len)
{
	for (size_t i = 0; i < len; i += 8) {
		uint64_t v = rand64();

		memcpy(buf + i, &v, 8);
	}
}

/* Random pages at random places, one after the other; at last up to the end, and an fsync. */
static int scribble(char **arg)
{
	int fd = open_dev(arg[0], O_WRONLY | O_DIRECT);
	uint64_t sectors = number(arg[1]), count = number(arg[2]);

	state = number(arg[3]);
	if (sectors < 8)
		die("a page is 8 sectors");
	while (count--) {
		fill_random(PAGE);
		write_at(fd, PAGE, rand64() % (sectors / 8) * PAGE);
	}
	fill_random(TAIL * SECTOR);
	write_at(fd, TAIL * SECTOR, (sectors - TAIL) * SECTOR);
	if (fsync(fd))
		die("fsync: %s", strerror(errno));
	return 0;
}

/* Random data, in one write, and the same to where the file has it, which begins at FROM. */
static int piece(char **arg)
{
	int dev = open_dev(arg[0], O_WRONLY | O_DIRECT), file = open_dev(arg[1], O_RDWR);
	uint64_t at = number(arg[2]), len = number(arg[3]) * SECTOR, from = number(arg[4]);

	state = number(arg[5]);
	if (len > CHUNK || from > at)
		die("that is not possible");
	fill_random(len);
	write_at(dev, len, at * SECTOR);
	write_at(file, len, (at - from) * SECTOR);
	return 0;
}

/*
 * The device, from SKIP on, has what the file has, and is as long. With SECTORS the file is cut or
 * extended with zeroes first, and what the device has behind is not looked at if SKIP is given.
 */
static int same(char **arg)
{
	int dev = open_dev(arg[0], O_RDONLY | O_DIRECT), file = open_dev(arg[1], O_RDWR);
	uint64_t at = 0, skip = arg[2] && arg[3] ? number(arg[3]) * SECTOR : 0, end;

	if (arg[2] && ftruncate(file, number(arg[2]) * SECTOR))
		die("%s: %s", arg[1], strerror(errno));
	end = lseek(file, 0, SEEK_END);
	if (!(arg[2] && arg[3]) && (uint64_t)lseek(dev, 0, SEEK_END) != end) {
		printf("# %s: %llu bytes, not %llu\n", arg[0],
		       (unsigned long long)lseek(dev, 0, SEEK_END), (unsigned long long)end);
		return 1;
	}
	for (; at < end; at += CHUNK) {
		size_t len = end - at < CHUNK ? end - at : CHUNK, i = 0;

		if (read_at(dev, buf, len, skip + at) != len || read_at(file, want, len, at) != len)
			die("%s ends within %llu", arg[0], (unsigned long long)(at + len));
		if (!memcmp(buf, want, len))
			continue;
		while (buf[i] == want[i])
			i++;
		printf("# %s differs at byte %llu\n", arg[0], (unsigned long long)(skip + at + i));
		return 1;
	}
	return 0;
}

/* A page: lines of a word. */
static void page_of(char *page, const char *word)
{
	size_t len = strlen(word);

	for (size_t i = 0; i < PAGE; i++)
		page[i] = i % (len + 1) == len ? '\n' : word[i % (len + 1)];
}

static int words(char **arg, bool write)
{
	int sync = write && arg[2] && !strcmp(arg[2], "sync") ? O_SYNC : 0;
	int fd = open_dev(arg[0], (write ? O_WRONLY : O_RDONLY) | O_DIRECT | sync);
	uint64_t bytes = number(arg[1]);
	unsigned long long block;
	char word[64];

	while (scanf("%llu %63s", &block, word) == 2) {
		page_of(write ? buf : want, word);
		if (write) {
			write_at(fd, PAGE, block * bytes);
			continue;
		}
		if (read_at(fd, buf, PAGE, block * bytes) != PAGE)
			die("%s ends before block %llu", arg[0], block);
		if (memcmp(buf, want, PAGE)) {
			printf("# block %llu: %.*s, not %s\n", block,
			       (int)strcspn(buf, "\n") % 64, buf, word);
			return 1;
		}
	}
	if (!feof(stdin))
		die("no \"BLOCK WORD\"");
	return 0;
}

static int put(char **arg)
{
	return words(arg, true);
}

static int has(char **arg)
{
	return words(arg, false);
}

/* Pages of zeroes, each written for itself, and then read, to where the lines say, in sectors. */
static int zero(char **arg)
{
	int fd = open_dev(arg[0], O_RDWR | O_DIRECT);
	unsigned long long first, count;

	while (scanf("%llu+%llu", &first, &count) == 2) {
		if (first % 8 || count % 8)
			die("%llu+%llu are no whole pages", first, count);
		memset(buf, 0, PAGE);
		for (uint64_t s = first; s < first + count; s += 8)
			write_at(fd, PAGE, s * SECTOR);
		for (uint64_t s = first; s < first + count; s += 8) {
			if (read_at(fd, buf, PAGE, s * SECTOR) == PAGE && !memcmp(buf, want, PAGE))
				continue;
			printf("# sectors %llu are not zeroes\n", (unsigned long long)s);
			return 1;
		}
	}
	if (!feof(stdin))
		die("no \"FIRST+COUNT\"");
	return 0;
}

/* Another one for any other contents; of two that differ in one word, for sure. */
static int sum(char **arg)
{
	int fd = open_dev(arg[0], O_RDONLY | O_DIRECT);
	uint64_t h = 0, at = 0;
	size_t len;

	while ((len = read_at(fd, buf, CHUNK, at))) {
		for (size_t i = 0; i < len; i += 8) {
			uint64_t v;

			memcpy(&v, buf + i, 8);
			h = (h ^ v) * 0x9e3779b97f4a7c15ull;
			h = h << 29 | h >> 35;
		}
		at += len;
	}
	printf("%016llx %llu\n", (unsigned long long)h, (unsigned long long)at);
	return 0;
}

static int datasync(char **arg)
{
	if (!fdatasync(open_dev(arg[0], O_RDWR)))
		return 0;
	fprintf(stderr, "circle-io: %s: %s\n", arg[0], strerror(errno));
	return 1;
}

/* ---- device-mapper */

static struct {
	struct dm_ioctl io;
	char data[LONG];
} dm;

static int dm_try(const char *name, unsigned long cmd, uint32_t flags)
{
	static int fd = -1;

	if (fd < 0)
		fd = open_dev("/dev/mapper/control", O_RDWR);
	dm.io.version[0] = DM_VERSION_MAJOR;
	dm.io.data_size = sizeof(dm);
	dm.io.data_start = offsetof(typeof(dm), data);
	dm.io.flags = flags;
	snprintf(dm.io.name, sizeof(dm.io.name), "%s", name);
	return ioctl(fd, cmd, &dm) ? errno : 0;
}

static void dm_call(const char *name, unsigned long cmd, const char *what, uint32_t flags)
{
	int r = dm_try(name, cmd, flags);

	if (r)
		die("%s of %s: %s", what, name, strerror(r));
}

static int first_target(const char *name, uint32_t flags)
{
	struct dm_target_spec *spec = (void *)dm.data;

	dm_call(name, DM_TABLE_STATUS, "status", flags | DM_NOFLUSH_FLAG);
	if (!dm.io.target_count)
		die("%s has no table", name);
	printf("%llu %llu %s %s\n", (unsigned long long)spec->sector_start,
	       (unsigned long long)spec->length, spec->target_type,
	       dm.data + sizeof(*spec));
	return 0;
}

/* As dmsetup table. */
static int line_of(char **arg)
{
	return first_target(arg[0], DM_STATUS_TABLE_FLAG);
}

/* The line of dmsetup status --noflush; a field of dm-cache's, from 1; or what follows a word. */
static int status(char **arg)
{
	char *word, *found = NULL;
	int n = 0;

	if (!arg[1])
		return first_target(arg[0], 0);
	dm_call(arg[0], DM_TABLE_STATUS, "status", DM_NOFLUSH_FLAG);
	if (!dm.io.target_count)
		die("%s has no table", arg[0]);
	word = dm.data + sizeof(struct dm_target_spec);
	for (word = strtok(word, " "); word; word = strtok(NULL, " ")) {
		bool here = *arg[1] >= '0' && *arg[1] <= '9' ? ++n == atoi(arg[1]) :
			    !strcmp(word, arg[1]);

		if (!here)
			continue;
		found = n ? word : strtok(NULL, " ");
		break;
	}
	puts(found ? found : "");
	return 0;
}

/* A table of stdin, where DM_TABLE_LOAD wants it. */
static void dm_read(void)
{
	static char line[8192];
	char *to = dm.data;

	while (fgets(line, sizeof(line), stdin)) {
		struct dm_target_spec *spec = (void *)to;
		unsigned long long start, len;
		int args;

		if (!line[strspn(line, " \t\n")])
			continue;
		memset(spec, 0, sizeof(*spec));
		if (sscanf(line, "%llu %llu %15s %n", &start, &len, spec->target_type, &args) != 3)
			die("no table: %s", line);
		line[strcspn(line, "\n")] = 0;
		if (to + sizeof(*spec) + strlen(line + args) + 8 > dm.data + sizeof(dm.data))
			die("the table is too long");
		spec->sector_start = start;
		spec->length = len;
		strcpy(to + sizeof(*spec), line + args);
		spec->next = (sizeof(*spec) + strlen(line + args) + 8) & ~7;
		to += spec->next;
		dm.io.target_count++;
	}
}

/* Suspend, load, resume: what is in flight goes through the old table, what comes waits. */
static int table(char **arg)
{
	uint32_t flags = DM_SUSPEND_FLAG;

	for (char **a = arg + 1; *a; a++) {
		if (!strcmp(*a, "noflush"))
			flags |= DM_NOFLUSH_FLAG;
		else if (!strcmp(*a, "nolockfs"))
			flags |= DM_SKIP_LOCKFS_FLAG;
		else
			die("\"%s\"?", *a);
	}
	dm_call(arg[0], DM_DEV_SUSPEND, "suspend", flags);
	memset(&dm.io, 0, sizeof(dm.io));
	dm_read();
	dm_call(arg[0], DM_TABLE_LOAD, "load", 0);
	memset(&dm.io, 0, sizeof(dm.io));
	dm_call(arg[0], DM_DEV_SUSPEND, "resume", 0);
	return 0;
}

/* From now on our nth allocation fails; 0: none. Returns how far off the last one still was. */
static unsigned int arm(unsigned int nth)
{
	char text[16] = "";
	int fd = open_dev("/proc/thread-self/fail-nth", O_RDWR);

	if (pread(fd, text, sizeof(text) - 1, 0) <= 0)
		die("fail-nth: %s", strerror(errno));
	if (dprintf(fd, "%u", nth) < 0)
		die("fail-nth: %s", strerror(errno));
	close(fd);
	return strtoul(text, NULL, 10);
}

static int dm_load_copy(const char *name)
{
	static typeof(dm) saved;

	if (!saved.io.target_count) {
		memset(&dm.io, 0, sizeof(dm.io));
		dm_read();
		saved = dm;
	}
	dm = saved;
	return dm_try(name, DM_TABLE_LOAD, 0);
}

static int dm_simple(const char *name, unsigned long cmd, uint32_t flags)
{
	memset(&dm.io, 0, sizeof(dm.io));
	return dm_try(name, cmd, flags);
}

static int load_and_resume(const char *name)
{
	int r = dm_load_copy(name);

	return r ?: dm_simple(name, DM_DEV_SUSPEND, 0);
}

static void must(int r, const char *what)
{
	if (r)
		die("%s: %s", what, strerror(r));
}

static void begin_of(char **dev)
{
	for (; *dev; dev++) {
		int fd = open_dev(*dev, O_RDWR | O_DIRECT);

		memset(buf, 0, sizeof(buf));
		for (int i = 0; i < 4; i++)
			write_at(fd, sizeof(buf), i * sizeof(buf));
		close(fd);
	}
}

/* With the nth allocation failing; what comes of it in *r. True: there was one that failed. */
static bool once(const char *name, char what, unsigned int nth, int *r)
{
	unsigned int left;

	if (what == 'l') {
		*r = dm_simple(name, DM_DEV_SUSPEND, DM_SUSPEND_FLAG);
		must(*r, "suspend");
	} else {
		must(dm_simple(name, DM_DEV_CREATE, 0), "create");
	}
	if (what == 'm')
		must(load_and_resume(name), "create without a failure");
	arm(nth);
	*r = what == 'm' ? dm_simple(name, DM_DEV_REMOVE, 0) : load_and_resume(name);
	left = arm(0);
	return !left;
}

/*
 * Create, remove, or reload, again and again, with the FIRST allocation of it failing, then the one
 * STEP later, until there are no so many: that one must succeed. Zero the first MiB of each DEV before.
 */
static int nth(char **arg)
{
	unsigned int n = number(arg[2]), step = number(arg[3]), tried = 0, refused = 0;
	char what = arg[1][2] == 'e' ? 'c' : arg[1][2];		/* create, reMove, reLoad */

	for (;; n += step, tried++) {
		bool failed;
		int r;

		begin_of(arg + 4);
		failed = once(arg[0], what, n, &r);
		if (r)
			printf("# %u: %s\n", n, strerror(r));
		refused += !!r;
		if (!failed) {
			if (r && what != 'l')
				dm_simple(arg[0], DM_DEV_REMOVE, 0);
			must(r, "without a failure");
			break;
		}
		if (what == 'l') {
			if (r)
				must(load_and_resume(arg[0]), "reload after a failure");
		} else if (what == 'c' || r) {
			must(dm_simple(arg[0], DM_DEV_REMOVE, 0), "remove after a failure");
		}
		fflush(stdout);
	}
	printf("%s %u tried %u refused %u\n", arg[1], n, tried, refused);
	return 0;
}

/* The kernel's log behind a mark. */
static int since(char **arg)
{
	int fd = open_dev("/dev/kmsg", O_RDONLY | O_NONBLOCK);
	bool on = false;

	for (;;) {
		ssize_t n = read(fd, buf, sizeof(buf) - 1);
		char *text;

		if (n < 0 && errno == EPIPE)	/* overwritten meanwhile: the next is there */
			continue;
		if (n < 0 && errno == EAGAIN)
			return 0;
		if (n <= 0)
			die("/dev/kmsg: %s", strerror(errno));
		buf[n] = 0;
		text = strchr(buf, ';');
		if (!text)
			continue;
		text[strcspn(text, "\n")] = 0;
		if (on)
			puts(text + 1);
		on |= !!strstr(text, arg[0]);
	}
}

static const struct {
	const char *name;
	int least, most;
	int (*run)(char **arg);
} commands[] = {
	{ "scribble", 4, 4, scribble },
	{ "piece", 6, 6, piece },
	{ "same", 2, 4, same },
	{ "put", 2, 3, put },
	{ "has", 2, 2, has },
	{ "zero", 1, 1, zero },
	{ "sum", 1, 1, sum },
	{ "fdatasync", 1, 1, datasync },
	{ "status", 1, 2, status },
	{ "line", 1, 1, line_of },
	{ "table", 1, 3, table },
	{ "nth", 4, 8, nth },
	{ "log", 1, 1, since },
};

int main(int argc, char **argv)
{
	for (size_t i = 0; argc > 1 && i < sizeof(commands) / sizeof(*commands); i++)
		if (!strcmp(argv[1], commands[i].name) && argc - 2 >= commands[i].least &&
		    argc - 2 <= commands[i].most)
			return commands[i].run(argv + 2);
	die("see tests/tools/README.rst");
}
