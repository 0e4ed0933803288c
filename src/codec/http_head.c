/*
 * Questions about a message head, whichever HTTP version it came in.  Pure;
 * any thread; called by http/ and gateway/.
 */
#include <string.h>

#include "codec/http1.h"

enum http_body
http1_response_body(const struct http_head *response, struct span request_method)
{
	unsigned status = response->status;

	/* RFC 9112 6.3, 1 and 2. */
	if (span_eq(request_method, SPAN_LIT("HEAD")) || status < 200 || status == 204 ||
	    status == 304)
		return HTTP_BODY_NONE;
	if (status < 300 && span_eq(request_method, SPAN_LIT("CONNECT")))
		return HTTP_BODY_NONE;
	/* RFC 9112 6.3, 8: without framing it ends with the connection. */
	return response->body == HTTP_BODY_NONE ? HTTP_BODY_EOF : response->body;
}

const struct http_field *
http_head_find(const struct http_head *h, const char *name)
{
	struct span wanted = span_from_str(name);

	for (size_t i = 0; i < h->n_fields; i++)
		if (span_eq_nocase(h->field[i].name, wanted))
			return &h->field[i];
	return NULL;
}

size_t
http_head_count(const struct http_head *h, const char *name)
{
	struct span wanted = span_from_str(name);
	size_t n = 0;

	for (size_t i = 0; i < h->n_fields; i++)
		if (span_eq_nocase(h->field[i].name, wanted))
			n++;
	return n;
}

bool
http_head_list_has(const struct http_head *h, const char *name, const char *token)
{
	struct span wanted = span_from_str(name), item = span_from_str(token);

	for (size_t i = 0; i < h->n_fields; i++)
		if (span_eq_nocase(h->field[i].name, wanted) &&
		    span_list_has(h->field[i].value, item))
			return true;
	return false;
}

bool
http_head_keep_alive_s(const struct http_head *h, uint64_t *seconds)
{
	static const struct span timeout = SPAN_LIT("timeout=");
	struct span list, item;
	uint64_t n;
	bool said = false;

	for (size_t i = 0; i < h->n_fields; i++) {
		if (!span_eq_nocase(h->field[i].name, SPAN_LIT("Keep-Alive")))
			continue;
		list = h->field[i].value;
		while (span_next_item(&list, &item)) {
			if (item.n <= timeout.n ||
			    !span_eq_nocase((struct span){ item.p, timeout.n }, timeout) ||
			    !http_parse_length(
				(struct span){ item.p + timeout.n, item.n - timeout.n }, &n))
				continue;
			*seconds = said && *seconds < n ? *seconds : n;
			said = true;
		}
	}
	return said;
}

static bool
head_name_in(struct span name, const struct span *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (span_eq_nocase(name, list[i]))
			return true;
	return false;
}

bool
http_head_is_hop_by_hop(const struct http_head *h, struct span name)
{
	static const struct span always[] = {
		/* RFC 9110 7.6.1, 11.7 */
		SPAN_LIT("Connection"), SPAN_LIT("Keep-Alive"), SPAN_LIT("Proxy-Connection"),
		SPAN_LIT("TE"), SPAN_LIT("Trailer"), SPAN_LIT("Transfer-Encoding"),
		SPAN_LIT("Upgrade"), SPAN_LIT("Proxy-Authenticate"),
		SPAN_LIT("Proxy-Authorization"), SPAN_LIT("Proxy-Authentication-Info"),
		SPAN_LIT("HTTP2-Settings"), /* RFC 7540 3.2.1 */
	};
	/* For all recipients: naming them in Connection would take the message apart. */
	static const struct span never[] = { SPAN_LIT("Host"), SPAN_LIT("Content-Length") };

	if (head_name_in(name, always, sizeof(always) / sizeof(always[0])))
		return true;
	if (head_name_in(name, never, sizeof(never) / sizeof(never[0])))
		return false;
	for (size_t i = 0; h->connection_names && i < h->n_fields; i++)
		if (span_eq_nocase(h->field[i].name, SPAN_LIT("Connection")) &&
		    span_list_has(h->field[i].value, name))
			return true;
	return false;
}
