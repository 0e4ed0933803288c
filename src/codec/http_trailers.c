/*
 * Trailer sections (RFC 9110 6.5): taken apart, and which fields may stand
 * there.  Pure; any thread; called by http/ behind a chunked body, and for
 * what comes over HTTP/2.
 *
 * A recipient may merge trailers into the head, or a careless one do so without a thought: what
 * would be dangerous there is dropped here, whoever sent it.
 */
#include <string.h>

#include "codec/http1.h"

/* By RFC 9110 6.5.1's groups. */
static const char trailers_forbidden[][32] = {
	/* framing and routing */
	"content-length",
	"host",
	"transfer-encoding",
	/* the connection (7.6.1) */
	"connection",
	"http2-settings",
	"keep-alive",
	"proxy-connection",
	"te",
	"trailer",
	"upgrade",
	/* how a request is to be handled, and conditions */
	"cache-control",
	"expect",
	"if-match",
	"if-modified-since",
	"if-none-match",
	"if-range",
	"if-unmodified-since",
	"max-forwards",
	"pragma",
	"range",
	/* authentication, and what identifies a client */
	"authentication-info",
	"authorization",
	"cookie",
	"origin",
	"proxy-authenticate",
	"proxy-authentication-info",
	"proxy-authorization",
	"set-cookie",
	"www-authenticate",
	/* how a response is to be handled */
	"age",
	"date",
	"expires",
	"location",
	"retry-after",
	"vary",
	"warning",
	/* what the content is */
	"content-encoding",
	"content-range",
	"content-type",
};

bool
http_trailer_allowed(struct span name)
{
	static const struct span handshake = SPAN_LIT("sec-");

	if (!http_is_token(name))
		return false; /* pseudo-header fields too (RFC 9113 8.1) */
	if (name.n > handshake.n && span_eq_nocase((struct span){ name.p, handshake.n }, handshake))
		return false; /* Sec-WebSocket-Key and all that only the user agent may set */
	for (size_t i = 0; i < sizeof(trailers_forbidden) / sizeof(trailers_forbidden[0]); i++)
		if (span_eq_nocase(name, span_from_str(trailers_forbidden[i])))
			return false;
	return true;
}

size_t
http1_parse_trailers(const char *p, size_t n, struct http_field v[HTTP1_MAX_TRAILERS])
{
	const char *lf, *colon;
	size_t fields = 0;
	struct span line;

	for (; n > 0 && fields < HTTP1_MAX_TRAILERS; n -= line.n + 2, p = lf + 1) {
		if ((lf = memchr(p, '\n', n)) == NULL || lf == p || lf[-1] != '\r')
			break;
		line = (struct span){ p, (size_t)(lf - 1 - p) };
		if ((colon = memchr(p, ':', line.n)) == NULL)
			break;
		v[fields].name = (struct span){ p, (size_t)(colon - p) };
		v[fields].value =
		    span_trim((struct span){ colon + 1, line.n - v[fields].name.n - 1 });
		if (!http_is_token(v[fields].name) || !http_is_field_value(v[fields].value))
			break;
		fields += http_trailer_allowed(v[fields].name);
	}
	return fields;
}
