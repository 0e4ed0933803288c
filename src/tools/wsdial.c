/*
 * wsdial(1): a WebSocket client for people and scripts.
 *
 * main reads the options, makes what all connections share, and runs one of the modes
 * (wsdial_talk, wsdial_ping, wsdial_load) on one loop.  A WebSocket is a wsdial_session, or a
 * wsdial_load_ws where many have to be cheap; both share codec/, io/ and http/ with the daemon.
 */
#include <sys/socket.h>

#include <errno.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include <event2/event.h>
#include <event2/event_struct.h>
#include <nghttp2/nghttp2.h>
#include <openssl/crypto.h>
#include <zlib.h>

#include "codec/ws_deflate.h"
#include "io/loop.h"
#include "io/resolve.h"
#include "io/tls.h"
#include "tools/wsdial_mode.h"
#include "tools/wsdial_out.h"

#define WSDIAL_SIGNALS 3

struct wsdial_main {
	struct wsdial_env env;
	struct wsdial_options options;
	struct wsdial_out out;
	struct ws_deflate_memory memory;
	struct ws_deflate_pool pool;
	struct wsdial_mode *mode; /* owned while the loop runs */
	struct event signals[WSDIAL_SIGNALS];
	int caught; /* the first SIGINT or SIGTERM; 0 */
};

static const int wsdial_signals[WSDIAL_SIGNALS] = { SIGINT, SIGTERM, SIGTSTP };

static const struct wsdial_mode_ops *
wsdial_mode_of(const struct wsdial_options *o)
{
	switch (o->mode) {
	case WSDIAL_PING:
		return &wsdial_ping_ops;
	case WSDIAL_LOAD:
		return &wsdial_load_ops;
	case WSDIAL_TALK:
	case WSDIAL_HELP:
	case WSDIAL_VERSION:
		break;
	}
	return &wsdial_talk_ops;
}

static void
wsdial_version(void)
{
	printf("wsdial %s\nlibevent %s\n%s\nnghttp2 %s\nzlib %s\n", WSRELAYD_VERSION,
	    event_get_version(), OpenSSL_version(OPENSSL_VERSION), nghttp2_version(0)->version_str,
	    zlibVersion());
}

/* ---- signals */

/* A terminal that was taken over is given back for the time. */
static void
wsdial_on_suspend(struct wsdial_main *m)
{
	if (!m->mode->ops->suspend(m->mode))
		raise(SIGSTOP);
}

static void
wsdial_on_signal(evutil_socket_t sig, short what, void *arg)
{
	struct wsdial_main *m = arg;

	(void)what;
	if (sig == SIGTSTP) {
		wsdial_on_suspend(m);
		return;
	}
	/* The first one ends in order, the second one at once. */
	if (m->caught != 0) {
		loop_stop(m->env.loop);
		return;
	}
	m->caught = (int)sig;
	m->mode->ops->interrupt(m->mode);
}

static int
wsdial_watch_signals(struct wsdial_main *m)
{
	signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; i < WSDIAL_SIGNALS; i++) {
		event_assign(&m->signals[i], loop_base(m->env.loop), wsdial_signals[i],
		    EV_SIGNAL | EV_PERSIST, wsdial_on_signal, m);
		if (event_add(&m->signals[i], NULL) == -1)
			return -1;
	}
	return 0;
}

static void
wsdial_forget_signals(struct wsdial_main *m)
{
	for (size_t i = 0; i < WSDIAL_SIGNALS; i++)
		if (event_initialized(&m->signals[i]))
			event_del(&m->signals[i]);
}

/* ---- the run */

/* What every connection needs; 0, or the exit status after an error. */
static int
wsdial_prepare(struct wsdial_main *m)
{
	const struct wsdial_options *o = &m->options;
	struct tls_client_options tls = { .ca_file = o->ca_file,
		.cert_file = o->cert_file,
		.key_file = o->key_file,
		.insecure = o->insecure };
	char why[512];

	m->env.o = o;
	m->env.out = &m->out;
	m->env.pool = &m->pool;
	ws_deflate_pool_init(&m->pool, &m->memory);
	if (o->url.tls && (m->env.tls = tls_client_ctx_new(&tls, why, sizeof(why))) == NULL) {
		wsdial_out_error(&m->out, "%s", why);
		return WSDIAL_USAGE;
	}
	if ((m->env.resolver = resolver_new()) == NULL || (m->env.loop = loop_new()) == NULL ||
	    wsdial_watch_signals(m) == -1) {
		wsdial_out_error(&m->out, "cannot start: %s", strerror(errno));
		return WSDIAL_FAILED;
	}
	return 0;
}

static void
wsdial_release(struct wsdial_main *m)
{
	wsdial_forget_signals(m);
	loop_free(m->env.loop);
	resolver_free(m->env.resolver);
	tls_ctx_unref(m->env.tls);
	ws_deflate_pool_clear(&m->pool);
}

/* What nobody could read was not printed. */
static int
wsdial_check_output(struct wsdial_main *m, int status)
{
	if (m->out.broken == 0)
		return status;
	wsdial_out_error(&m->out, "standard output: %s", strerror(m->out.broken));
	return status == WSDIAL_OK ? WSDIAL_FAILED : status;
}

static int
wsdial_run(struct wsdial_main *m)
{
	int status;

	wsdial_out_init(&m->out, m->options.verbose);
	if ((status = wsdial_prepare(m)) == 0) {
		if ((m->mode = wsdial_mode_of(&m->options)->start(&m->env)) != NULL) {
			loop_run(m->env.loop);
			status = (int)m->mode->ops->finish(m->mode);
			status = wsdial_check_output(m, status);
		} else {
			wsdial_out_error(&m->out, "out of memory");
			status = WSDIAL_FAILED;
		}
	}
	wsdial_release(m);
	/* Whoever waits for us is told of the signal, unless it had its orderly end. */
	if (m->caught != 0 && status != WSDIAL_OK) {
		signal(m->caught, SIG_DFL);
		raise(m->caught);
	}
	return status;
}

int
main(int argc, char **argv)
{
	struct wsdial_main m = { .caught = 0 };
	char why[512];
	int status = WSDIAL_OK;

	setlocale(LC_CTYPE, "");
	if (wsdial_options_parse(&m.options, argc, argv, why, sizeof(why)) == -1) {
		fprintf(stderr, "wsdial: %s\nTry 'wsdial --help'.\n", why);
		status = WSDIAL_USAGE;
	} else if (m.options.mode == WSDIAL_HELP) {
		fputs(wsdial_options_help, stdout);
	} else if (m.options.mode == WSDIAL_VERSION) {
		wsdial_version();
	} else {
		status = wsdial_run(&m);
	}
	wsdial_options_clear(&m.options);
	return status;
}
