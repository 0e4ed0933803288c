/*
 * The command line of wsdial(1).  See wsdial_options.h.
 *
 * getopt_long splits it; wsdial_options_take takes each option; what only the whole can tell
 * (options that do not go together) is checked at the end.  Called once, by main.
 */
#include "tools/wsdial_options.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/addr.h"
#include "base/mem.h"
#include "base/num.h"
#include "codec/ws_utf8.h"

#define WSDIAL_SUBPROTOCOLS_MAX 4096
/* --compress without parameters: what browsers offer. */
#define WSDIAL_OFFER "client_max_window_bits"

enum {
	OPT_UNIX = 256,
	OPT_HTTP1,
	OPT_HTTP2,
	OPT_COMPRESS,
	OPT_NO_COMPRESS,
	OPT_KEEPALIVE_INTERVAL,
	OPT_KEEPALIVE_TIMEOUT,
	OPT_TIMEOUT,
	OPT_CACERT,
	OPT_CERT,
	OPT_KEY,
	OPT_PING,
	OPT_LOAD,
	OPT_OPENS,
	OPT_STREAMS,
	OPT_ANSWER,
	OPT_DURATION,
	OPT_ON_INPUT,
	OPT_JSON,
};

static const struct option wsdial_long_options[] = {
	{ "unix", required_argument, NULL, OPT_UNIX },
	{ "http1.1", no_argument, NULL, OPT_HTTP1 },
	{ "http2", no_argument, NULL, OPT_HTTP2 },
	{ "compress", optional_argument, NULL, OPT_COMPRESS },
	{ "no-compress", no_argument, NULL, OPT_NO_COMPRESS },
	{ "keepalive-interval", required_argument, NULL, OPT_KEEPALIVE_INTERVAL },
	{ "keepalive-timeout", required_argument, NULL, OPT_KEEPALIVE_TIMEOUT },
	{ "timeout", required_argument, NULL, OPT_TIMEOUT },
	{ "cacert", required_argument, NULL, OPT_CACERT },
	{ "cert", required_argument, NULL, OPT_CERT },
	{ "key", required_argument, NULL, OPT_KEY },
	{ "ping", required_argument, NULL, OPT_PING },
	{ "load", required_argument, NULL, OPT_LOAD },
	{ "opens", required_argument, NULL, OPT_OPENS },
	{ "streams", required_argument, NULL, OPT_STREAMS },
	{ "answer", required_argument, NULL, OPT_ANSWER },
	{ "duration", required_argument, NULL, OPT_DURATION },
	{ "on-input", no_argument, NULL, OPT_ON_INPUT },
	{ "json", no_argument, NULL, OPT_JSON },
	{ "help", no_argument, NULL, 'h' },
	{ "version", no_argument, NULL, 'V' },
	{ NULL, 0, NULL, 0 },
};

const char wsdial_options_help[] =
    "usage: wsdial [options] URL\n"
    "  URL                 ws://HOST[:PORT][/PATH] or wss://HOST[:PORT][/PATH]\n"
    "Connection:\n"
    "  --unix PATH         connect to a Unix socket (@NAME: an abstract one)\n"
    "  --http1.1           HTTP/1.1 only\n"
    "  --http2             HTTP/2 only: by ALPN, or with ws: by prior knowledge\n"
    "  -k                  do not verify the server's certificate\n"
    "  --cacert FILE       the authorities to verify it with (PEM)\n"
    "  --cert FILE         the client's certificate (PEM)\n"
    "  --key FILE          its key, where that is not in the same file\n"
    "  --timeout TIME      the longest wait: for the handshake (10s), for the Close (5s),\n"
    "                      for each message of -n (no limit)\n"
    "Handshake:\n"
    "  -H 'NAME: VALUE'    send this header field (repeatable)\n"
    "  -o ORIGIN           send this Origin\n"
    "  -s SUBPROTOCOL      offer this subprotocol (repeatable)\n"
    "  --compress[=PARAMETERS]\n"
    "                      offer permessage-deflate\n"
    "  --no-compress       offer it, but leave every message uncompressed\n"
    "Messages:\n"
    "  -m MESSAGE          send this instead of the standard input's lines (repeatable)\n"
    "  -b                  send binary messages\n"
    "  -n COUNT            end after so many messages came\n"
    "  --keepalive-interval TIME\n"
    "                      a PING after so much silence, or a PONG so often\n"
    "  --keepalive-timeout TIME\n"
    "                      how long the PONG to a PING is waited for\n"
    "Instead of messages:\n"
    "  --ping N            measure the round-trip time of N PINGs\n"
    "  --load C,M,S        C connections with M messages of S bytes in flight on each\n"
    "  --opens C           open and close WebSockets, C at a time\n"
    "  --streams N         with either: N WebSockets on each connection, over HTTP/2\n"
    "  --answer S          with --load: answers have S bytes, and are no echo\n"
    "  --duration TIME     with either: for how long (10s)\n"
    "  --on-input          with either: a run for each line of the standard input\n"
    "  --json              print what --ping, --load or --opens found as JSON\n"
    "Other:\n"
    "  -v                  show the handshake, frames and closes on standard error\n"
    "  -V, --version       the program's version and its libraries'\n"
    "  -h, --help          this text\n";

/* What is wrong, for whoever called; always -1. */
static int __attribute__((format(printf, 3, 4)))
wsdial_bad(char *why, size_t size, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, size, fmt, ap);
	va_end(ap);
	return -1;
}

/* ---- the values */

static int
wsdial_take_field(struct wsdial_options *o, const char *text, char *why, size_t size)
{
	static const struct {
		const char *name, *instead;
	} taken[] = {
		{ "Sec-WebSocket-Protocol", "use -s" },
		{ "Sec-WebSocket-Extensions", "use --compress" },
		{ "Sec-WebSocket-Key", "it is made for each connection" },
		{ "Sec-WebSocket-Version", "it is always 13" },
		{ "Upgrade", "the handshake has its own" },
		{ "Connection", "the handshake has its own" },
		{ "Content-Length", "the handshake has no body" },
		{ "Transfer-Encoding", "the handshake has no body" },
	};
	struct http_field *f = &o->field[o->n_fields];
	const char *colon = strchr(text, ':');

	if (colon == NULL)
		return wsdial_bad(why, size, "-H '%s': there is no colon in it", text);
	f->name = (struct span){ text, (size_t)(colon - text) };
	f->value = span_trim(span_from_str(colon + 1));
	if (!http_is_token(f->name) || !http_is_field_value(f->value))
		return wsdial_bad(why, size, "-H '%s': this is no header field", text);
	for (size_t i = 0; i < sizeof(taken) / sizeof(taken[0]); i++)
		if (span_eq_nocase(f->name, span_from_str(taken[i].name)))
			return wsdial_bad(why, size, "-H '%s': %s", text, taken[i].instead);
	o->n_fields++;
	return 0;
}

static int
wsdial_take_subprotocol(struct wsdial_options *o, const char *text, char *why, size_t size)
{
	struct span s = span_from_str(text);

	if (!http_is_token(s)) /* RFC 6455 4.1 item 10 */
		return wsdial_bad(why, size,
		    "-s %s: a subprotocol is letters, digits and "
		    "!#$%%&'*+-.^_`|~",
		    text);
	if (span_list_has(buf_span(&o->subprotocols), s))
		return wsdial_bad(why, size, "-s %s: it is offered already", text);
	if ((o->subprotocols.n > 0 && buf_append_str(&o->subprotocols, ", ") == -1) ||
	    buf_append_span(&o->subprotocols, s) == -1)
		return wsdial_bad(why, size, "-s %s: too many of them", text);
	return 0;
}

static int
wsdial_take_origin(struct wsdial_options *o, const char *text, char *why, size_t size)
{
	if (!http_is_field_value(span_from_str(text)))
		return wsdial_bad(why, size, "-o: a control character stands in the origin");
	o->origin = text;
	return 0;
}

static int
wsdial_take_time(const char *option, const char *text, uint64_t *ms, char *why, size_t size)
{
	if (num_parse_time_ms(span_from_str(text), ms) == 0)
		return 0;
	return wsdial_bad(
	    why, size, "%s %s: expected a time, as 500ms, 30s, 2min or infinity", option, text);
}

/* A finite number from min to max. */
static int
wsdial_take_number(const char *option, struct span text, uint64_t min, uint64_t max, uint64_t *n,
    char *why, size_t size)
{
	if (num_parse_size(text, n) == 0 && *n >= min && *n <= max)
		return 0;
	return wsdial_bad(why, size, "%s: %.*s is no number from %llu to %llu", option,
	    SPAN_ARG(text), (unsigned long long)min, (unsigned long long)max);
}

static int
wsdial_take_count(struct wsdial_options *o, const char *text, char *why, size_t size)
{
	o->counted = true;
	o->count = UINT64_MAX;
	if (strcmp(text, "infinity") == 0 || num_parse_uint(span_from_str(text), &o->count) == 0)
		return 0;
	return wsdial_bad(why, size, "-n %s: expected a number, or infinity", text);
}

static int
wsdial_take_load(struct wsdial_options *o, const char *text, char *why, size_t size)
{
	struct span list = span_from_str(text), part[3], rest;

	o->mode = WSDIAL_LOAD;
	for (size_t i = 0; i < 3; i++)
		if (!span_next_item(&list, &part[i]))
			return wsdial_bad(
			    why, size, "--load %s: expected CONNECTIONS,IN_FLIGHT,SIZE", text);
	if (span_next_item(&list, &rest))
		return wsdial_bad(why, size, "--load %s: expected three numbers", text);
	if (wsdial_take_number("--load", part[0], 1, WSDIAL_LOAD_CONNECTIONS_MAX, &o->connections,
		why, size) == -1 ||
	    wsdial_take_number(
		"--load", part[1], 0, WSDIAL_LOAD_IN_FLIGHT_MAX, &o->in_flight, why, size) == -1)
		return -1;
	return wsdial_take_number("--load", part[2], 0, WSDIAL_MESSAGE_MAX, &o->size, why, size);
}

static int
wsdial_take_opens(struct wsdial_options *o, const char *text, char *why, size_t size)
{
	o->mode = WSDIAL_LOAD;
	o->opens = true;
	return wsdial_take_number("--opens", span_from_str(text), 1, WSDIAL_LOAD_CONNECTIONS_MAX,
	    &o->connections, why, size);
}

static int
wsdial_take_offer(struct wsdial_options *o, const char *text, char *why, size_t size)
{
	struct span list, item, rest;
	struct ws_ext more;
	struct buf b;
	int ret = 0;

	buf_init(&b, 1024);
	if (buf_append_str(&b, "permessage-deflate") == -1 ||
	    (text[0] != '\0' && buf_append_str(&b, "; ") == -1) || buf_append_str(&b, text) == -1)
		b.n = 0;
	list = buf_span(&b);
	if (ws_ext_next(&list, WS_EXT_OFFER, &o->offer, &item) != WS_EXT_DEFLATE ||
	    ws_ext_next(&list, WS_EXT_OFFER, &more, &rest) != WS_EXT_END)
		ret = wsdial_bad(why, size,
		    "--compress=%s: expected parameters of one "
		    "permessage-deflate, parted by \";\"",
		    text);
	else if (o->offer.client_bits == WS_EXT_BITS_MIN)
		ret = wsdial_bad(why, size,
		    "--compress=%s: zlib cannot compress with a window of "
		    "8 bits",
		    text);
	o->compress = true;
	buf_clear(&b);
	return ret;
}

static int
wsdial_take_http(struct wsdial_options *o, enum wsdial_http http, char *why, size_t size)
{
	if (o->http != WSDIAL_HTTP_ANY && o->http != http)
		return wsdial_bad(why, size, "--http1.1 and --http2 exclude each other");
	o->http = http;
	return 0;
}

static int
wsdial_take_unix(struct wsdial_options *o, const char *text, char *why, size_t size)
{
	char full[300];
	struct addr a;
	const char *reason = "the path is too long";

	if (snprintf(full, sizeof(full), "unix:%s", text) >= (int)sizeof(full) ||
	    addr_parse(span_from_str(full), &a, &reason) == -1)
		return wsdial_bad(why, size, "--unix %s: %s", text, reason);
	o->unix_path = text;
	return 0;
}

/* ---- the options */

static int
wsdial_take_long(struct wsdial_options *o, int c, const char *arg, char *why, size_t size)
{
	switch (c) {
	case OPT_UNIX:
		return wsdial_take_unix(o, arg, why, size);
	case OPT_HTTP1:
		return wsdial_take_http(o, WSDIAL_HTTP_1_1, why, size);
	case OPT_HTTP2:
		return wsdial_take_http(o, WSDIAL_HTTP_2, why, size);
	case OPT_COMPRESS:
		return wsdial_take_offer(o, arg != NULL ? arg : WSDIAL_OFFER, why, size);
	case OPT_NO_COMPRESS:
		o->leave_plain = true;
		return 0;
	case OPT_KEEPALIVE_INTERVAL:
		return wsdial_take_time(
		    "--keepalive-interval", arg, &o->keepalive_interval_ms, why, size);
	case OPT_KEEPALIVE_TIMEOUT:
		return wsdial_take_time(
		    "--keepalive-timeout", arg, &o->keepalive_timeout_ms, why, size);
	case OPT_TIMEOUT:
		if (wsdial_take_time("--timeout", arg, &o->timeout_ms, why, size) == -1)
			return -1;
		if (o->timeout_ms == 0)
			return wsdial_bad(why, size, "--timeout 0: expected a time, or infinity");
		return 0;
	case OPT_CACERT:
		o->ca_file = arg;
		return 0;
	case OPT_CERT:
		o->cert_file = arg;
		return 0;
	case OPT_KEY:
		o->key_file = arg;
		return 0;
	case OPT_PING:
		o->mode = WSDIAL_PING;
		return wsdial_take_number(
		    "--ping", span_from_str(arg), 1, 1000000, &o->pings, why, size);
	case OPT_LOAD:
		return wsdial_take_load(o, arg, why, size);
	case OPT_OPENS:
		return wsdial_take_opens(o, arg, why, size);
	case OPT_STREAMS:
		return wsdial_take_number("--streams", span_from_str(arg), 1,
		    WSDIAL_LOAD_STREAMS_MAX, &o->streams, why, size);
	case OPT_ANSWER:
		return wsdial_take_number(
		    "--answer", span_from_str(arg), 0, WSDIAL_MESSAGE_MAX, &o->answer, why, size);
	case OPT_ON_INPUT:
		o->on_input = true;
		return 0;
	case OPT_DURATION:
		return wsdial_take_time("--duration", arg, &o->duration_ms, why, size);
	case OPT_JSON:
		o->json = true;
		return 0;
	default:
		return -1;
	}
}

static int
wsdial_take(struct wsdial_options *o, int c, const char *arg, char *why, size_t size)
{
	switch (c) {
	case 'H':
		return wsdial_take_field(o, arg, why, size);
	case 'o':
		return wsdial_take_origin(o, arg, why, size);
	case 's':
		return wsdial_take_subprotocol(o, arg, why, size);
	case 'm':
		o->message[o->n_messages++] = arg;
		return 0;
	case 'n':
		return wsdial_take_count(o, arg, why, size);
	case 'b':
		o->binary = true;
		return 0;
	case 'k':
		o->insecure = true;
		return 0;
	case 'v':
		o->verbose = true;
		return 0;
	default:
		return wsdial_take_long(o, c, arg, why, size);
	}
}

/* What getopt_long did not like. */
static int
wsdial_bad_option(int c, char **argv, char *why, size_t size)
{
	const char *text = optind > 0 ? argv[optind - 1] : "";

	if (c == ':')
		return wsdial_bad(why, size, "%s: a value is missing", text);
	if (optopt > 0 && optopt < 128)
		return wsdial_bad(why, size, "there is no option -%c", optopt);
	if (optopt != 0)
		return wsdial_bad(why, size, "%s: it takes no value", text);
	return wsdial_bad(why, size, "there is no option %s", text);
}

/* ---- the whole */

/* Host is not a field among others: it is :authority for HTTP/2. */
static int
wsdial_move_host(struct wsdial_options *o, char *why, size_t size)
{
	size_t kept = 0;

	for (size_t i = 0; i < o->n_fields; i++) {
		struct span v = o->field[i].value;

		if (!span_eq_nocase(o->field[i].name, SPAN_LIT("Host"))) {
			o->field[kept++] = o->field[i];
			continue;
		}
		if (!http_is_authority(v) || v.n >= sizeof(o->url.authority))
			return wsdial_bad(
			    why, size, "-H 'Host: %.*s': this is no host", SPAN_ARG(v));
		snprintf(o->url.authority, sizeof(o->url.authority), "%.*s", SPAN_ARG(v));
	}
	o->n_fields = kept;
	return 0;
}

static int
wsdial_check_messages(const struct wsdial_options *o, char *why, size_t size)
{
	for (size_t i = 0; i < o->n_messages && !o->binary; i++) {
		struct span m = span_from_str(o->message[i]);
		uint8_t state = WS_UTF8_START;

		if (!ws_utf8_feed(&state, (const uint8_t *)m.p, m.n) || state != WS_UTF8_START)
			return wsdial_bad(why, size,
			    "-m: a text message has to be UTF-8; -b sends "
			    "any bytes");
	}
	return 0;
}

/* What goes with --load and --opens only. */
static int
wsdial_check_load(const struct wsdial_options *o, char *why, size_t size)
{
	bool load = o->mode == WSDIAL_LOAD;

	if (o->duration_ms != 0 && !load)
		return wsdial_bad(why, size, "--duration goes with --load or --opens only");
	if (o->duration_ms == NUM_TIME_INFINITY)
		return wsdial_bad(why, size, "--duration has to be finite");
	if (o->on_input && !load)
		return wsdial_bad(why, size, "--on-input goes with --load or --opens only");
	if (o->answer != UINT64_MAX && (!load || o->opens))
		return wsdial_bad(why, size, "--answer goes with --load only");
	if (o->streams > 0 && !load)
		return wsdial_bad(why, size, "--streams goes with --load or --opens only");
	if (o->streams > 0 && o->http == WSDIAL_HTTP_1_1)
		return wsdial_bad(why, size, "--streams needs HTTP/2");
	if (o->streams > 0 && o->connections * o->streams > WSDIAL_LOAD_CONNECTIONS_MAX)
		return wsdial_bad(why, size, "--streams: these are more than %d WebSockets",
		    WSDIAL_LOAD_CONNECTIONS_MAX);
	return 0;
}

/* At most one of --ping, --load and --opens, and what goes with them. */
static int
wsdial_check(const struct wsdial_options *o, unsigned modes, char *why, size_t size)
{
	if ((modes & (modes - 1)) != 0)
		return wsdial_bad(why, size, "--ping, --load and --opens exclude each other");
	if (modes != 0 && (o->n_messages > 0 || o->counted))
		return wsdial_bad(why, size, "-m and -n do not go with --ping, --load or --opens");
	if (o->json && modes == 0)
		return wsdial_bad(why, size, "--json goes with --ping, --load or --opens only");
	if (o->key_file != NULL && o->cert_file == NULL)
		return wsdial_bad(why, size, "--key goes with --cert only");
	if (wsdial_check_load(o, why, size) == -1)
		return -1;
	return wsdial_check_messages(o, why, size);
}

static void
wsdial_settle(struct wsdial_options *o)
{
	if (o->leave_plain && !o->compress) {
		o->compress = true;
		o->offer.client_bits = WS_EXT_BITS_OPEN; /* WSDIAL_OFFER */
	}
	if (o->keepalive_interval_ms == NUM_TIME_INFINITY)
		o->keepalive_interval_ms = 0;
	if (o->keepalive_timeout_ms == NUM_TIME_INFINITY)
		o->keepalive_timeout_ms = 0;
	if (o->duration_ms == 0)
		o->duration_ms = WSDIAL_DURATION_MS;
	if (o->streams > 0)
		o->http = WSDIAL_HTTP_2;
}

static int
wsdial_parse_url(struct wsdial_options *o, int argc, char **argv, char *why, size_t size)
{
	const char *reason;

	if (optind >= argc)
		return wsdial_bad(why, size, "the URL is missing");
	if (optind + 1 < argc)
		return wsdial_bad(why, size, "%s: only one URL is expected", argv[optind + 1]);
	o->url_text = argv[optind];
	if (wsdial_url_parse(span_from_str(o->url_text), &o->url, &reason) == 0)
		return 0;
	return wsdial_bad(why, size, "%s: %s", o->url_text, reason);
}

int
wsdial_options_parse(struct wsdial_options *o, int argc, char **argv, char *why, size_t size)
{
	unsigned modes = 0;
	int c;

	memset(o, 0, sizeof(*o));
	o->answer = UINT64_MAX;
	buf_init(&o->subprotocols, WSDIAL_SUBPROTOCOLS_MAX);
	o->field = mem_zalloc((size_t)argc * sizeof(*o->field));
	o->message = mem_zalloc((size_t)argc * sizeof(*o->message));
	if (o->field == NULL || o->message == NULL)
		return wsdial_bad(why, size, "out of memory");
	optind = 0; /* getopt starts anew */
	opterr = 0;
	while ((c = getopt_long(argc, argv, ":H:o:s:m:n:bkvVh", wsdial_long_options, NULL)) != -1) {
		if (c == 'h' || c == 'V') {
			o->mode = c == 'h' ? WSDIAL_HELP : WSDIAL_VERSION;
			return 0;
		}
		if (c == '?' || c == ':')
			return wsdial_bad_option(c, argv, why, size);
		modes |= c == OPT_PING ? 1 : c == OPT_LOAD ? 2 : c == OPT_OPENS ? 4 : 0;
		if (wsdial_take(o, c, optarg, why, size) == -1)
			return -1;
	}
	if (wsdial_parse_url(o, argc, argv, why, size) == -1 ||
	    wsdial_move_host(o, why, size) == -1 || wsdial_check(o, modes, why, size) == -1)
		return -1;
	wsdial_settle(o);
	return 0;
}

void
wsdial_options_clear(struct wsdial_options *o)
{
	mem_free(o->field);
	mem_free(o->message);
	buf_clear(&o->subprotocols);
	memset(o, 0, sizeof(*o));
}
