/*
 * What a client's frames cost, and those errors that nghttp2 passes over.  See
 * h2_int.h and h2_budget.h.
 *
 * Looks at frame headers before nghttp2 gets them (h2_scan), and is called by the callbacks of
 * h2_session.c where an error shows only later.  Runs on the connection's worker.
 */
#include "http/h2_int.h"

/* CONTINUATION frames of one header block (CVE-2024-27316). */
#define H2_CONTINUATIONS_MAX 8

static uint64_t
h2_now(const struct h2_server *h2c)
{
	return loop_now_ms(h2c->c.t.loop);
}

int
h2_count_reset(struct h2_server *h2c, const char *why)
{
	return h2_bucket_take(&h2c->resets, 1, h2_now(h2c))
	    ? 0
	    : h2_fatal(h2c, NGHTTP2_ENHANCE_YOUR_CALM, why);
}

int
h2_count_glitch(struct h2_server *h2c, uint32_t n, const char *why)
{
	return h2_bucket_take(&h2c->glitches, n, h2_now(h2c))
	    ? 0
	    : h2_fatal(h2c, NGHTTP2_ENHANCE_YOUR_CALM, why);
}

/* A stream's number (RFC 9113 5.1.1): those that were passed over are closed. */
static int
h2_judge_number(struct h2_server *h2c, int32_t id)
{
	if (id > h2c->last_id) {
		if (id > h2c->last_id + 2) {
			h2c->gap_first = h2c->last_id + 1;
			h2c->gap_last = id - 1;
		}
		h2c->last_id = id;
		return 0;
	}
	return id < h2c->gap_first || id > h2c->gap_last
	    ? 0
	    : h2_fatal(h2c, NGHTTP2_PROTOCOL_ERROR, "a stream's number is too small");
}

/*
 * A stream that the client has ended and that is closed gets no more (RFC 9113 5.1).  What follows
 * a reset is passed over.
 */
static int
h2_judge_ended(struct h2_server *h2c, int32_t id)
{
	for (size_t i = 0; i < H2_ENDED; i++)
		if (h2c->ended[i] == id && id != 0)
			return h2_fatal(
			    h2c, NGHTTP2_STREAM_CLOSED, "a frame for a stream that has ended");
	return 0;
}

/* What a frame costs; 0 or -1: too much. */
static int
h2_judge_frame(struct h2_server *h2c, const struct h2_scanned *f)
{
	bool ack = (f->flags & NGHTTP2_FLAG_ACK) != 0;

	if (f->type != NGHTTP2_CONTINUATION) {
		h2c->continuations = 0;
		h2c->head_at_ms = 0;
	}
	switch (f->type) {
	case NGHTTP2_HEADERS:
		return h2_judge_number(h2c, f->stream) != 0 ? -1 : h2_judge_ended(h2c, f->stream);
	case NGHTTP2_DATA:
		return h2_judge_ended(h2c, f->stream);
	case NGHTTP2_GOAWAY:
		return 0;
	case NGHTTP2_RST_STREAM:
		return h2_count_reset(h2c, "too many streams were reset by the client");
	case NGHTTP2_CONTINUATION:
		return ++h2c->continuations <= H2_CONTINUATIONS_MAX
		    ? 0
		    : h2_fatal(h2c, NGHTTP2_ENHANCE_YOUR_CALM, "too many CONTINUATION frames");
	case NGHTTP2_WINDOW_UPDATE:
		return h2_bucket_take(&h2c->window_updates, 1, h2_now(h2c))
		    ? 0
		    : h2_fatal(h2c, NGHTTP2_ENHANCE_YOUR_CALM, "too many WINDOW_UPDATE frames");
	case NGHTTP2_SETTINGS:
		return ack ? 0
			   : h2_count_glitch(h2c, H2_GLITCH_SETTINGS, "too many SETTINGS frames");
	case NGHTTP2_PING:
		return ack ? 0 : h2_count_glitch(h2c, 1, "too many PING frames");
	case NGHTTP2_PRIORITY:
		if (f->stream == 0) /* RFC 9113 6.3 */
			return h2_fatal(h2c, NGHTTP2_PROTOCOL_ERROR, "PRIORITY without a stream");
		return h2_count_glitch(h2c, 1, "too many PRIORITY frames");
	default:
		return h2_count_glitch(h2c, 1, "too many frames of no use");
	}
}

int
h2_judge(struct h2_server *h2c, const uint8_t *p, size_t n)
{
	struct h2_scanned f;

	while (h2_scan_next(&h2c->scan, &p, &n, &f))
		if (h2_judge_frame(h2c, &f) != 0)
			return -1;
	return 0;
}
