/* Unit tests of src/tools/wsdial_options.[ch]. */
#include "tools/wsdial_options.h"

#include <stdio.h>

#include "base/mem.h"
#include "unit.h"

#define URL "ws://a.example/chat"
#define ARGS(...) ((const char *const[]){ "wsdial", __VA_ARGS__, NULL })

static struct wsdial_options o;
static char why[512];

static int
parse(const char *const *args)
{
	char *argv[32];
	int argc = 0;

	for (; args[argc] != NULL; argc++)
		argv[argc] = (char *)(uintptr_t)args[argc];
	argv[argc] = NULL;
	why[0] = '\0';
	return wsdial_options_parse(&o, argc, argv, why, sizeof(why));
}

static void
take(const char *const *args)
{
	ck_assert_msg(parse(args) == 0, "%s", why);
}

static void
refuse(const char *const *args, const char *word)
{
	ck_assert_int_eq(parse(args), -1);
	ck_assert_msg(strstr(why, word) != NULL, "\"%s\" is not about %s", why, word);
	wsdial_options_clear(&o);
}

START_TEST(wsdial_options_have_defaults)
{
	take(ARGS(URL));
	ck_assert_int_eq(o.mode, WSDIAL_TALK);
	ck_assert_int_eq(o.http, WSDIAL_HTTP_ANY);
	ck_assert_str_eq(o.url_text, URL);
	ck_assert_str_eq(o.url.authority, "a.example");
	ck_assert_uint_eq(o.n_fields + o.n_messages + o.subprotocols.n, 0);
	ck_assert(!o.compress && !o.counted && !o.binary && !o.verbose && !o.json && !o.insecure);
	ck_assert_uint_eq(o.timeout_ms, 0);
	ck_assert_uint_eq(o.keepalive_interval_ms, 0);
	ck_assert_uint_eq(o.duration_ms, WSDIAL_DURATION_MS);
	ck_assert_ptr_null(o.origin);
	ck_assert_ptr_null(o.unix_path);
	wsdial_options_clear(&o);
}
END_TEST

START_TEST(wsdial_options_take_values)
{
	take(ARGS("--unix", "@name", "--http1.1", "-H", "Cookie:  a=b ", "-H", "X-A:", "-o",
	    "https://o.example", "-s", "chat", "-s", "v2.chat", "-b", "-m", "one", "-m", "", URL));
	ck_assert_str_eq(o.unix_path, "@name");
	ck_assert_int_eq(o.http, WSDIAL_HTTP_1_1);
	ck_assert_uint_eq(o.n_fields, 2);
	ck_assert(span_eq(o.field[0].name, SPAN_LIT("Cookie")));
	ck_assert(span_eq(o.field[0].value, SPAN_LIT("a=b")));
	ck_assert(span_eq(o.field[1].value, SPAN_LIT("")));
	ck_assert_str_eq(o.origin, "https://o.example");
	ck_assert(span_eq(buf_span(&o.subprotocols), SPAN_LIT("chat, v2.chat")));
	ck_assert(o.binary);
	ck_assert_uint_eq(o.n_messages, 2);
	ck_assert_str_eq(o.message[1], "");
	wsdial_options_clear(&o);

	take(ARGS("-k", "--cacert", "ca", "--cert", "c", "--key", "k", "-v", "-n", "7", URL,
	    "--timeout", "2min", "--keepalive-interval", "30s", "--keepalive-timeout=500ms"));
	ck_assert(o.insecure && o.verbose && o.counted);
	ck_assert_str_eq(o.ca_file, "ca");
	ck_assert_str_eq(o.cert_file, "c");
	ck_assert_str_eq(o.key_file, "k");
	ck_assert_uint_eq(o.count, 7);
	ck_assert_uint_eq(o.timeout_ms, 120000);
	ck_assert_uint_eq(o.keepalive_interval_ms, 30000);
	ck_assert_uint_eq(o.keepalive_timeout_ms, 500);
	wsdial_options_clear(&o);
}
END_TEST

START_TEST(wsdial_options_know_endless_times_and_counts)
{
	take(ARGS("-n", "infinity", "--timeout", "infinity", "--keepalive-interval", "infinity",
	    "--keepalive-timeout", "infinity", URL));
	ck_assert(o.counted && o.count == UINT64_MAX);
	ck_assert_uint_eq(o.timeout_ms, UINT64_MAX);
	/* As in the daemon: infinite is off. */
	ck_assert_uint_eq(o.keepalive_interval_ms, 0);
	ck_assert_uint_eq(o.keepalive_timeout_ms, 0);
	wsdial_options_clear(&o);
	take(ARGS("-n", "0", URL));
	ck_assert(o.counted && o.count == 0);
	wsdial_options_clear(&o);
	refuse(ARGS("-n", "x", URL), "-n x");
	refuse(ARGS("-n", "-1", URL), "-n -1");
	refuse(ARGS("--timeout", "0", URL), "--timeout");
	refuse(ARGS("--timeout", "soon", URL), "--timeout soon");
	refuse(ARGS("--keepalive-interval", "1 s", URL), "--keepalive-interval");
	refuse(ARGS("--keepalive-timeout", "", URL), "--keepalive-timeout");
}
END_TEST

START_TEST(wsdial_options_refuse_bad_usage)
{
	refuse(ARGS("-v"), "URL is missing");
	refuse(ARGS(URL, URL), "only one");
	refuse(ARGS("-x", URL), "-x");
	refuse(ARGS("--no-such", URL), "--no-such");
	refuse(ARGS("--http2=yes", URL), "no value");
	refuse(ARGS(URL, "-m"), "value is missing");
	refuse(ARGS(URL, "--cacert"), "value is missing");
	refuse(ARGS("http://a/"), "ws://");
	refuse(ARGS("--http1.1", "--http2", URL), "exclude");
	refuse(ARGS("--key", "k.pem", URL), "--cert");
}
END_TEST

START_TEST(wsdial_options_refuse_fields_that_the_handshake_makes)
{
	refuse(ARGS("-H", "no colon", URL), "colon");
	refuse(ARGS("-H", "bad name: x", URL), "no header field");
	refuse(ARGS("-H", ": x", URL), "no header field");
	refuse(ARGS("-H", "A: x\ny", URL), "no header field");
	refuse(ARGS("-H", "Sec-WebSocket-Protocol: x", URL), "-s");
	refuse(ARGS("-H", "sec-websocket-extensions: x", URL), "--compress");
	refuse(ARGS("-H", "Sec-WebSocket-Key: x", URL), "each connection");
	refuse(ARGS("-H", "SEC-WEBSOCKET-VERSION: 8", URL), "13");
	refuse(ARGS("-H", "Connection: close", URL), "handshake");
	refuse(ARGS("-H", "Upgrade: x", URL), "handshake");
	refuse(ARGS("-H", "Content-Length: 1", URL), "body");
	refuse(ARGS("-H", "Transfer-Encoding: chunked", URL), "body");
	refuse(ARGS("-o", "a\rb", URL), "-o");
}
END_TEST

START_TEST(wsdial_options_move_host_to_the_authority)
{
	take(ARGS("-H", "A: 1", "-H", "host: b.example:81", "-H", "C: 2", URL));
	ck_assert_str_eq(o.url.authority, "b.example:81");
	ck_assert_str_eq(o.url.host, "a.example");
	ck_assert_uint_eq(o.n_fields, 2);
	ck_assert(span_eq(o.field[1].name, SPAN_LIT("C")));
	wsdial_options_clear(&o);
	refuse(ARGS("-H", "Host: a b", URL), "no host");
	refuse(ARGS("-H", "Host:", URL), "no host");
}
END_TEST

START_TEST(wsdial_options_refuse_bad_subprotocols)
{
	refuse(ARGS("-s", "", URL), "-s");
	refuse(ARGS("-s", "a b", URL), "-s a b");
	refuse(ARGS("-s", "a,b", URL), "-s a,b");
	refuse(ARGS("-s", "a", "-s", "b", "-s", "a", URL), "already");
}
END_TEST

START_TEST(wsdial_options_read_the_offer)
{
	take(ARGS("--compress", URL));
	ck_assert(o.compress && !o.leave_plain);
	ck_assert_uint_eq(o.offer.client_bits, WS_EXT_BITS_OPEN);
	wsdial_options_clear(&o);
	take(ARGS("--no-compress", URL));
	ck_assert(o.compress && o.leave_plain);
	ck_assert_uint_eq(o.offer.client_bits, WS_EXT_BITS_OPEN);
	wsdial_options_clear(&o);
	take(ARGS("--compress=server_no_context_takeover;server_max_window_bits=9", "--no-compress",
	    URL));
	ck_assert(o.compress && o.leave_plain && o.offer.server_no_takeover);
	ck_assert_uint_eq(o.offer.server_bits, 9);
	ck_assert_uint_eq(o.offer.client_bits, 0);
	wsdial_options_clear(&o);
	take(ARGS("--compress=", URL));
	ck_assert(o.compress);
	ck_assert_uint_eq(o.offer.client_bits, 0);
	wsdial_options_clear(&o);
	refuse(ARGS("--compress=x", URL), "--compress=x");
	refuse(ARGS("--compress=server_max_window_bits=16", URL), "--compress");
	refuse(ARGS("--compress=client_max_window_bits=8", URL), "zlib");
	refuse(ARGS("--compress=client_max_window_bits, permessage-deflate", URL), "one");
	refuse(ARGS("--compress=\"", URL), "--compress");
}
END_TEST

START_TEST(wsdial_options_want_text_to_be_utf8)
{
	take(ARGS("-m", "\xc3\xa4", URL));
	wsdial_options_clear(&o);
	refuse(ARGS("-m", "\xc3", URL), "UTF-8");
	refuse(ARGS("-m", "a\xff", URL), "UTF-8");
	take(ARGS("-m", "a\xff", "-b", URL));
	wsdial_options_clear(&o);
}
END_TEST

START_TEST(wsdial_options_know_the_modes)
{
	take(ARGS("--ping", "3", "--json", URL));
	ck_assert_int_eq(o.mode, WSDIAL_PING);
	ck_assert_uint_eq(o.pings, 3);
	ck_assert(o.json);
	wsdial_options_clear(&o);
	take(ARGS("--load", "10,4,16K", "--duration", "5s", URL));
	ck_assert_int_eq(o.mode, WSDIAL_LOAD);
	ck_assert_uint_eq(o.connections, 10);
	ck_assert_uint_eq(o.in_flight, 4);
	ck_assert_uint_eq(o.size, 16384);
	ck_assert_uint_eq(o.duration_ms, 5000);
	ck_assert_uint_eq(o.answer, UINT64_MAX);
	ck_assert_uint_eq(o.streams, 0);
	ck_assert(!o.opens && !o.on_input);
	wsdial_options_clear(&o);
	take(ARGS("--load", "10,0,0", "--streams", "5", "--answer", "1M", "--on-input", URL));
	ck_assert_uint_eq(o.in_flight, 0);
	ck_assert_uint_eq(o.streams, 5);
	ck_assert_uint_eq(o.answer, 1 << 20);
	ck_assert_int_eq(o.http, WSDIAL_HTTP_2);
	ck_assert(o.on_input);
	wsdial_options_clear(&o);
	take(ARGS("--opens", "7", "--json", URL));
	ck_assert_int_eq(o.mode, WSDIAL_LOAD);
	ck_assert_uint_eq(o.connections, 7);
	ck_assert(o.opens);
	wsdial_options_clear(&o);
	take(ARGS("-h"));
	ck_assert_int_eq(o.mode, WSDIAL_HELP);
	wsdial_options_clear(&o);
	take(ARGS("--version", "and", "more"));
	ck_assert_int_eq(o.mode, WSDIAL_VERSION);
	wsdial_options_clear(&o);
}
END_TEST

START_TEST(wsdial_options_refuse_what_does_not_go_together)
{
	refuse(ARGS("--ping", "0", URL), "--ping");
	refuse(ARGS("--ping", "x", URL), "--ping");
	refuse(ARGS("--load", "1,1", URL), "--load");
	refuse(ARGS("--load", "1,1,1,1", URL), "--load");
	refuse(ARGS("--load", "0,1,1", URL), "--load");
	refuse(ARGS("--load", "1,-1,1", URL), "--load");
	refuse(ARGS("--opens", "0", URL), "--opens");
	refuse(ARGS("--opens", "1", "--load", "1,1,1", URL), "exclude");
	refuse(ARGS("--opens", "1", "--answer", "1", URL), "--answer");
	refuse(ARGS("--opens", "1", "-m", "x", URL), "-m");
	refuse(ARGS("--streams", "2", URL), "--streams");
	refuse(ARGS("--load", "1,1,1", "--streams", "0", URL), "--streams");
	refuse(ARGS("--load", "1,1,1", "--streams", "2", "--http1.1", URL), "--streams");
	refuse(ARGS("--load", "100000,1,1", "--streams", "2", URL), "--streams");
	refuse(ARGS("--on-input", URL), "--on-input");
	refuse(ARGS("--answer", "1", URL), "--answer");
	refuse(ARGS("--load", "1,1,1G", URL), "--load");
	refuse(ARGS("--ping", "1", "--load", "1,1,1", URL), "exclude");
	refuse(ARGS("--load", "1,1,1", "--ping", "1", URL), "exclude");
	refuse(ARGS("--ping", "1", "-m", "x", URL), "-m");
	refuse(ARGS("--load", "1,1,1", "-n", "1", URL), "-n");
	refuse(ARGS("--json", URL), "--json");
	refuse(ARGS("--duration", "1s", URL), "--duration");
	refuse(ARGS("--load", "1,1,1", "--duration", "infinity", URL), "finite");
}
END_TEST

START_TEST(wsdial_options_refuse_unix_paths_that_do_not_fit)
{
	char path[400];

	memset(path, 'x', sizeof(path) - 1);
	path[sizeof(path) - 1] = '\0';
	refuse(ARGS("--unix", path, URL), "--unix");
	path[150] = '\0';
	refuse(ARGS("--unix", path, URL), "--unix");
	refuse(ARGS("--unix", "", URL), "--unix");
}
END_TEST

START_TEST(wsdial_options_survive_without_memory)
{
	for (unsigned long n = 1; n <= 6; n++) {
		mem_fail_nth(n);
		(void)parse(ARGS("-s", "chat", "--compress", "-H", "A: b", "-m", "x", URL));
		mem_fail_nth(0);
		wsdial_options_clear(&o);
	}
}
END_TEST

START_TEST(wsdial_options_help_names_every_option)
{
	static const char *const names[] = { "--unix", "--http1.1", "--http2", "-H", "-o", "-s",
		"--compress", "--no-compress", "--keepalive-interval", "--keepalive-timeout", "-b",
		"-m", "-n", "--timeout", "-k", "--cacert", "--cert", "--key", "-v", "--ping",
		"--load", "--opens", "--streams", "--answer", "--duration", "--on-input", "--json",
		"--help", "--version" };
	char line[80];

	for (size_t i = 0; i < UNIT_COUNT(names); i++) {
		snprintf(line, sizeof(line), "%s", names[i]);
		ck_assert_msg(strstr(wsdial_options_help, line) != NULL, "%s", line);
	}
}
END_TEST

int
main(void)
{
	const TTest *const cases[] = {
		wsdial_options_have_defaults,
		wsdial_options_take_values,
		wsdial_options_know_endless_times_and_counts,
		wsdial_options_refuse_bad_usage,
		wsdial_options_refuse_fields_that_the_handshake_makes,
		wsdial_options_move_host_to_the_authority,
		wsdial_options_refuse_bad_subprotocols,
		wsdial_options_read_the_offer,
		wsdial_options_want_text_to_be_utf8,
		wsdial_options_know_the_modes,
		wsdial_options_refuse_what_does_not_go_together,
		wsdial_options_refuse_unix_paths_that_do_not_fit,
		wsdial_options_survive_without_memory,
		wsdial_options_help_names_every_option,
	};

	return unit_run("wsdial_options", cases, UNIT_COUNT(cases));
}
