/*
 * The heads of HTTP/2's client: the request's is made, the response's taken apart.  Pure but for
 * memory; called by the other files of the client only.  See h2_client_int.h.
 */
#include <string.h>

#include "http/h1_client_head.h"
#include "http/h2_client_int.h"

int
h2cl_fields_add(struct h2cl_fields *f, struct span name, struct span value, bool lower)
{
	size_t off = f->text.n;

	if (f->n == H2CL_FIELDS || buf_reserve(&f->text, name.n + value.n) == -1)
		return -1;
	buf_append_span(&f->text, name);
	buf_append_span(&f->text, value);
	for (size_t i = 0; lower && i < name.n; i++)
		f->text.p[off + i] = span_lower(f->text.p[off + i]);
	f->v[f->n].off = (uint32_t)off;
	f->v[f->n].name_n = (uint32_t)name.n;
	f->v[f->n++].value_n = (uint32_t)value.n;
	return 0;
}

struct span
h2cl_fields_name(const struct h2cl_fields *f, size_t i)
{
	return (struct span){ f->text.p + f->v[i].off, f->v[i].name_n };
}

struct span
h2cl_fields_value(const struct h2cl_fields *f, size_t i)
{
	return (struct span){ f->text.p + f->v[i].off + f->v[i].name_n, f->v[i].value_n };
}

/* RFC 8441 4, 5. */
int
h2cl_put_request(struct h2cl_fields *f, const struct h1_request *r, bool https)
{
	struct buf path;
	int bad;

	buf_init(&path, H1C_HEAD_MAX_REQUEST);
	bad = buf_append_span(&path, r->path) == -1 ||
	    (r->query.p != NULL &&
		(buf_append_char(&path, '?') == -1 || buf_append_span(&path, r->query) == -1)) ||
	    h2cl_fields_add(f, SPAN_LIT(":method"), SPAN_LIT("CONNECT"), false) == -1 ||
	    h2cl_fields_add(f, SPAN_LIT(":protocol"), SPAN_LIT("websocket"), false) == -1 ||
	    h2cl_fields_add(f, SPAN_LIT(":scheme"), https ? SPAN_LIT("https") : SPAN_LIT("http"),
		false) == -1 ||
	    h2cl_fields_add(f, SPAN_LIT(":authority"), r->authority, false) == -1 ||
	    h2cl_fields_add(f, SPAN_LIT(":path"), buf_span(&path), false) == -1 ||
	    h2cl_fields_add(f, SPAN_LIT("sec-websocket-version"), SPAN_LIT("13"), false) == -1;
	buf_clear(&path);
	for (size_t i = 0; i < r->n_fields && !bad; i++)
		bad = h2cl_fields_add(f, r->field[i].name, r->field[i].value, true) == -1;
	return bad ? -1 : 0;
}

int
h2cl_make_head(const struct h2cl_fields *f, struct http_head *h)
{
	struct span status = h2cl_fields_value(f, 0), name;

	memset(h, 0, sizeof(*h));
	h->minor = 1;
	if (!span_eq(h2cl_fields_name(f, 0), SPAN_LIT(":status")) || status.n != 3)
		return -1;
	for (size_t i = 0; i < 3; i++) {
		if (status.p[i] < '0' || status.p[i] > '9')
			return -1;
		h->status = h->status * 10 + (unsigned)(status.p[i] - '0');
	}
	for (size_t i = 1; i < f->n && h->n_fields < HTTP1_MAX_FIELDS; i++) {
		name = h2cl_fields_name(f, i);
		if (name.n > 0 && name.p[0] != ':')
			h->field[h->n_fields++] =
			    (struct http_field){ name, h2cl_fields_value(f, i) };
	}
	return 0;
}
