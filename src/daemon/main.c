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

int
main(int argc, char **argv)
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
	struct daemon_options o = { .config_path = SYSCONFDIR "/wsrelayd/wsrelayd.ini" };
	struct config_set *sets = mem_zalloc((size_t)argc * sizeof(*sets));
	const char *request = NULL, *origin = NULL;
	enum { RUN, TEST, DUMP, EXPLAIN } what = RUN;
	int c, ret;

	/* Freed blocks of queues are soon wanted again: giving each back to the kernel costs more than it saves. */
	mallopt(M_TRIM_THRESHOLD, 8 << 20);
	mallopt(M_MMAP_THRESHOLD, 1 << 20);
	if (sets == NULL)
		return EXIT_INTERNAL;
	o.sets = sets;
	while ((c = getopt_long(argc, argv, "c:ts:Vh", options, NULL)) != -1) {
		switch (c) {
		case 'c':
			o.config_path = optarg;
			break;
		case 't':
			what = TEST;
			break;
		case 'D':
			what = DUMP;
			break;
		case 'E':
			what = EXPLAIN;
			request = optarg;
			break;
		case 's':
			sets[o.n_sets++].text = optarg;
			break;
		case 'V':
			main_version();
			mem_free(sets);
			return 0;
		case 'h':
			main_usage(stdout);
			mem_free(sets);
			return 0;
		default:
			main_usage(stderr);
			mem_free(sets);
			return EXIT_USAGE;
		}
	}
	if (what == EXPLAIN && optind < argc)
		origin = argv[optind++];
	if (optind < argc) {
		fprintf(stderr, "wsrelayd: unexpected argument: %s\n", argv[optind]);
		mem_free(sets);
		return EXIT_USAGE;
	}
	ret = what == TEST    ? daemon_test(&o)
	    : what == DUMP    ? main_dump(&o)
	    : what == EXPLAIN ? main_explain(&o, request, origin)
			      : daemon_run(&o);
	mem_free(sets);
	return ret;
}
