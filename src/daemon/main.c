/* wsrelayd: options, and what to do with them. */
#include <errno.h>
#include <getopt.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>
#include <nghttp2/nghttp2.h>
#include <openssl/crypto.h>
#include <zlib.h>

#include "base/mem.h"
#include "daemon/daemon.h"
#include "daemon/explain.h"

static void
main_usage(FILE *out)
{
	fprintf(out,
	    "usage: wsrelayd [options]\n"
	    "  -c, --config FILE   the configuration (default %s/wsrelayd/wsrelayd.ini)\n"
	    "  -t, --test          check the configuration, start nothing\n"
	    "      --dump-config   show every key in force and where it comes from\n"
	    "  -s, --set SECTION.KEY=VALUE or SECTION.NAME.KEY=VALUE\n"
	    "                      win over the file (repeatable)\n"
	    "      --explain 'METHOD URL' [ORIGIN]\n"
	    "                      tell who would serve a request, or why it is refused\n"
	    "  -V, --version       versions of the program and its libraries\n"
	    "  -h, --help          this text\n",
	    SYSCONFDIR);
}

static void
main_version(void)
{
	printf("wsrelayd %s\nlibevent %s\n%s\nlibnghttp2 %s\nzlib %s\n", WSRELAYD_VERSION,
	    event_get_version(), OpenSSL_version(OPENSSL_VERSION), nghttp2_version(0)->version_str,
	    zlibVersion());
#ifdef HAVE_LIBSYSTEMD
	printf("libsystemd yes\n");
#else
	printf("libsystemd no\n");
#endif
}

/* 0 with a configuration of the caller's, or the exit status; what is wrong was reported. */
static int
main_load(const struct daemon_options *o, struct config **c)
{
	int ret;

	if ((ret = daemon_check_file(o)) != 0)
		return ret;
	*c = config_load(o->config_path, o->sets, o->n_sets, daemon_report, NULL);
	return *c != NULL ? 0 : EXIT_CONFIG;
}

static int
main_explain(const struct daemon_options *o, const char *request, const char *origin)
{
	struct config *c;
	int ret;

	if ((ret = main_load(o, &c)) != 0)
		return ret;
	ret = explain(c, request, origin, stdout) == 0 ? 0 : EXIT_USAGE;
	config_unref(c);
	return ret;
}

static int
main_dump(const struct daemon_options *o)
{
	struct config *c;
	int ret;

	if ((ret = main_load(o, &c)) != 0)
		return ret;
	ret = config_dump(c, STDOUT_FILENO) == 0 ? 0 : EXIT_SYSTEM;
	if (ret != 0)
		fprintf(stderr, "wsrelayd: standard output: %s\n", strerror(errno));
	config_unref(c);
	return ret;
}

/* What the command line asks for. */
struct main_asked {
	struct daemon_options o;
	enum { MAIN_RUN, MAIN_TEST, MAIN_DUMP, MAIN_EXPLAIN, MAIN_VERSION, MAIN_HELP } what;
	const char *request, *origin; /* with MAIN_EXPLAIN; origin may be NULL */
};

/* 0, or -1 after it was said what is wrong.  sets has room for argc of them. */
static int
main_parse(struct main_asked *a, struct config_set *sets, int argc, char **argv)
{
	static const struct option options[] = {
		{ "config", required_argument, NULL, 'c' },
		{ "test", no_argument, NULL, 't' },
		{ "dump-config", no_argument, NULL, 'D' },
		{ "set", required_argument, NULL, 's' },
		{ "explain", required_argument, NULL, 'E' },
		{ "version", no_argument, NULL, 'V' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "c:ts:Vh", options, NULL)) != -1) {
		switch (c) {
		case 'c':
			a->o.config_path = optarg;
			break;
		case 't':
			a->what = MAIN_TEST;
			break;
		case 'D':
			a->what = MAIN_DUMP;
			break;
		case 'E':
			a->what = MAIN_EXPLAIN;
			a->request = optarg;
			break;
		case 's':
			sets[a->o.n_sets++].text = optarg;
			break;
		case 'V':
			a->what = MAIN_VERSION;
			return 0;
		case 'h':
			a->what = MAIN_HELP;
			return 0;
		default:
			main_usage(stderr);
			return -1;
		}
	}
	if (a->what == MAIN_EXPLAIN && optind < argc)
		a->origin = argv[optind++];
	if (optind == argc)
		return 0;
	fprintf(stderr, "wsrelayd: unexpected argument: %s\n", argv[optind]);
	return -1;
}

static int
main_do(const struct main_asked *a)
{
	switch (a->what) {
	case MAIN_RUN:
		break;
	case MAIN_TEST:
		return daemon_test(&a->o);
	case MAIN_DUMP:
		return main_dump(&a->o);
	case MAIN_EXPLAIN:
		return main_explain(&a->o, a->request, a->origin);
	case MAIN_VERSION:
		main_version();
		return 0;
	case MAIN_HELP:
		main_usage(stdout);
		return 0;
	}
	return daemon_run(&a->o);
}

int
main(int argc, char **argv)
{
	struct main_asked asked = { .o.config_path = SYSCONFDIR "/wsrelayd/wsrelayd.ini" };
	struct config_set *sets = mem_zalloc((size_t)argc * sizeof(*sets));
	int ret;

	/*
	 * Freed blocks of queues are soon wanted again: giving each back to the kernel costs more
	 * than it saves.
	 */
	mallopt(M_TRIM_THRESHOLD, 8 << 20);
	mallopt(M_MMAP_THRESHOLD, 1 << 20);
	if (sets == NULL)
		return EXIT_INTERNAL;
	asked.o.sets = sets;
	ret = main_parse(&asked, sets, argc, argv) == 0 ? main_do(&asked) : EXIT_USAGE;
	mem_free(sets);
	return ret;
}
