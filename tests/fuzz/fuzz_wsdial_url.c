/*
 * Fuzz target: the URL of wsdial's command line.
 *
 * What is taken has to be clean enough for a request's head, and written out again it has to be
 * the same URL.  The input is shown as what a peer says is shown, too: nothing in it may be left
 * that steers a terminal.
 */
#include "tools/wsdial_url.h"

#include "codec/http1.h"
#include "oracle.h"
#include "tools/wsdial_escape.h"

static void
fuzz_url_again(const struct wsdial_url *url)
{
	struct wsdial_url again;
	const char *why;
	struct buf b;

	buf_init(&b, 1 << 20);
	ORACLE(
	    buf_printf(&b, "%s://%s%.*s%s%.*s", url->tls ? "wss" : "ws", url->authority,
		SPAN_ARG(url->path), url->query.p != NULL ? "?" : "", SPAN_ARG(url->query)) == 0);
	ORACLE(wsdial_url_parse(buf_span(&b), &again, &why) == 0);
	ORACLE(again.tls == url->tls && again.port == url->port);
	ORACLE(strcmp(again.host, url->host) == 0);
	ORACLE(strcmp(again.authority, url->authority) == 0);
	ORACLE(span_eq(again.path, url->path) && span_eq(again.query, url->query));
	ORACLE((again.query.p == NULL) == (url->query.p == NULL));
	buf_clear(&b);
}

static void
fuzz_escape(const uint8_t *data, size_t size, enum wsdial_escape how)
{
	struct buf b;
	bool whole;

	buf_init(&b, 4 * size + 1);
	ORACLE(wsdial_escape(&b, how, data, size) == 0);
	for (size_t i = 0; i < b.n; i++) {
		uint8_t c = (uint8_t)b.p[i];

		ORACLE(c >= ' ' || (c == '\t' && how != WSDIAL_ESCAPE_BINARY) ||
		    (c == '\n' && how == WSDIAL_ESCAPE_MESSAGE));
		ORACLE(c != 0x7f);
		ORACLE(i == 0 || (uint8_t)b.p[i - 1] != 0xc2 || c >= 0xa0);
	}
	ORACLE(b.n == 0 || (oracle_utf8((const uint8_t *)b.p, b.n, &whole) == b.n && whole));
	buf_clear(&b);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = oracle_copy(data, size);
	const char *why = NULL;
	struct wsdial_url url;

	if (wsdial_url_parse((struct span){ text, size }, &url, &why) == 0) {
		ORACLE(why == NULL);
		ORACLE(url.port != 0 && url.host[0] != '\0');
		ORACLE(http_is_authority(span_from_str(url.authority)));
		ORACLE(url.path.n > 0 && url.path.p[0] == '/');
		ORACLE(memchr(url.path.p, '?', url.path.n) == NULL);
		for (size_t i = 0; i < size; i++)
			ORACLE(data[i] > ' ' && data[i] < 0x7f && data[i] != '#');
		fuzz_url_again(&url);
	} else {
		ORACLE(why != NULL);
	}
	fuzz_escape(data, size, WSDIAL_ESCAPE_MESSAGE);
	fuzz_escape(data, size, WSDIAL_ESCAPE_LINE);
	fuzz_escape(data, size, WSDIAL_ESCAPE_QUOTED);
	fuzz_escape(data, size, WSDIAL_ESCAPE_BINARY);
	free(text);
	return 0;
}
