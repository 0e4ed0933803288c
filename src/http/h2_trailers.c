/* Trailer sections that wait.  See h2_trailers.h; called by h2_session.c and h2_stream.c. */
#include "base/buf.h"
#include "base/mem.h"
#include "http/h2_trailers.h"

struct h2_trailers {
	struct h2_trailers *next;
	const struct h2_stream *h2s; /* borrowed: whose they are */
	struct buf data;	     /* names and values, one behind the other */
	size_t bytes, seen;	     /* with what was dropped */
	size_t n;
	enum h2_trailers_way way;
	struct {
		uint16_t name_n, value_n;
	} field[HTTP1_MAX_TRAILERS];
};

_Static_assert(HTTP1_MAX_TRAILER_BYTES <= UINT16_MAX, "the lengths are too small");

/* Where the section of h2s hangs; *of it is NULL: there is none. */
static struct h2_trailers **
trailers_find(struct h2_trailers **list, const struct h2_stream *h2s, enum h2_trailers_way way)
{
	while (*list != NULL && ((*list)->h2s != h2s || (*list)->way != way))
		list = &(*list)->next;
	return list;
}

int
h2_trailers_begin(struct h2_trailers **list, const struct h2_stream *h2s, enum h2_trailers_way way)
{
	struct h2_trailers *tr;

	if (*trailers_find(list, h2s, way) != NULL || (tr = mem_zalloc(sizeof(*tr))) == NULL)
		return -1;
	buf_init(&tr->data, HTTP1_MAX_TRAILER_BYTES);
	tr->h2s = h2s;
	tr->way = way;
	tr->next = *list;
	*list = tr;
	return 0;
}

int
h2_trailers_add(struct h2_trailers *list, const struct h2_stream *h2s, enum h2_trailers_way way,
    struct span name, struct span value)
{
	struct h2_trailers *tr = *trailers_find(&list, h2s, way);
	size_t line = name.n + value.n + sizeof(": \r\n") - 1;

	if (tr == NULL || tr->seen == HTTP1_MAX_TRAILERS ||
	    line > HTTP1_MAX_TRAILER_BYTES - tr->bytes)
		return -1;
	tr->seen++;
	tr->bytes += line;
	if (!http_trailer_allowed(name) || !http_is_field_value(value))
		return 0;
	if (buf_append_span(&tr->data, name) == -1 || buf_append_span(&tr->data, value) == -1)
		return -1;
	tr->field[tr->n].name_n = (uint16_t)name.n;
	tr->field[tr->n++].value_n = (uint16_t)value.n;
	return 0;
}

struct h2_trailers *
h2_trailers_take(struct h2_trailers **list, const struct h2_stream *h2s, enum h2_trailers_way way)
{
	struct h2_trailers **at = trailers_find(list, h2s, way), *tr = *at;

	if (tr != NULL)
		*at = tr->next;
	return tr;
}

size_t
h2_trailers_fields(const struct h2_trailers *tr, struct http_field v[HTTP1_MAX_TRAILERS])
{
	const char *p = tr->data.p;

	for (size_t i = 0; i < tr->n; i++) {
		v[i].name = (struct span){ p, tr->field[i].name_n };
		v[i].value = (struct span){ p + tr->field[i].name_n, tr->field[i].value_n };
		p += tr->field[i].name_n + tr->field[i].value_n;
	}
	return tr->n;
}

void
h2_trailers_free(struct h2_trailers *tr)
{
	if (tr == NULL)
		return;
	buf_clear(&tr->data);
	mem_free(tr);
}

void
h2_trailers_drop(struct h2_trailers **list, const struct h2_stream *h2s)
{
	h2_trailers_free(h2_trailers_take(list, h2s, H2_TRAILERS_IN));
	h2_trailers_free(h2_trailers_take(list, h2s, H2_TRAILERS_OUT));
}
