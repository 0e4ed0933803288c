/* What --ping and --load have found.  See wsdial_report.h. */
#include "tools/wsdial_report.h"

#include <errno.h>
#include <inttypes.h>
#include <unistd.h>

#include "base/buf.h"
#include "tools/wsdial_out.h"

/* A million times of --ping, and their commas. */
#define WSDIAL_REPORT_MAX (32 * 1024 * 1024)

/* Percentiles of --load, in thousandths. */
static const struct {
	unsigned permille;
	const char *name;
} wsdial_percentiles[] = { { 500, "p50" }, { 900, "p90" }, { 990, "p99" }, { 999, "p999" } };

#define WSDIAL_PERCENTILES (sizeof(wsdial_percentiles) / sizeof(wsdial_percentiles[0]))

static double
wsdial_ms(double us)
{
	return us / 1000;
}

/* ---- JSON (RFC 8259): what does not fit the buffer makes the report fail */

static int
wsdial_json_string(struct buf *b, const char *s)
{
	if (buf_append_char(b, '"') == -1)
		return -1;
	for (; *s != '\0'; s++) {
		unsigned char c = (unsigned char)*s;

		if (c == '"' || c == '\\' || c < ' ' ? buf_printf(b, "\\u%04x", c) == -1
						     : buf_append_char(b, *s) == -1)
			return -1;
	}
	return buf_append_char(b, '"');
}

/* What both objects begin with. */
static int
wsdial_json_head(struct buf *b, const struct wsdial_env *env, const struct wsdial_agreed *agreed)
{
	if (buf_append_str(b, "{\"url\":") == -1 || wsdial_json_string(b, env->o->url_text) == -1 ||
	    buf_append_str(b, ",\"peer\":") == -1 || wsdial_json_string(b, agreed->peer) == -1 ||
	    buf_append_str(b, ",\"http\":") == -1 ||
	    /* NULL: --opens was too short for even one */
	    (agreed->http != NULL ? wsdial_json_string(b, agreed->http)
				  : buf_append_str(b, "null")) == -1 ||
	    buf_append_str(b, ",\"tls\":") == -1)
		return -1;
	return agreed->tls != NULL ? wsdial_json_string(b, agreed->tls) : buf_append_str(b, "null");
}

static int
wsdial_json_times(struct buf *b, const struct wsdial_ping_result *r)
{
	if (buf_append_str(b, ",\"times_ms\":[") == -1)
		return -1;
	for (uint64_t i = 0; i < r->sent; i++) {
		if (i > 0 && buf_append_char(b, ',') == -1)
			return -1;
		if (r->rtt_us[i] == UINT64_MAX
			? buf_append_str(b, "null") == -1
			: buf_printf(b, "%.3f", wsdial_ms((double)r->rtt_us[i])) == -1)
			return -1;
	}
	return buf_append_str(b, "]");
}

static int
wsdial_json_ping(struct buf *b, const struct wsdial_env *env, const struct wsdial_agreed *agreed,
    const struct wsdial_ping_result *r)
{
	const struct wsdial_rtt *t = r->rtt;

	if (wsdial_json_head(b, env, agreed) == -1 ||
	    buf_printf(b,
		",\"sent\":%" PRIu64 ",\"received\":%" PRIu64 ",\"loss_percent\":%.1f,"
		"\"time_ms\":%.3f",
		r->sent, t->n, 100.0 * (double)(r->sent - t->n) / (double)r->sent,
		wsdial_ms((double)r->took_us)) == -1 ||
	    wsdial_json_times(b, r) == -1)
		return -1;
	if (t->n == 0)
		return buf_append_str(b, ",\"rtt_ms\":null}\n");
	return buf_printf(b,
	    ",\"rtt_ms\":{\"min\":%.3f,\"avg\":%.3f,\"max\":%.3f,\"mdev\":%.3f}}\n",
	    wsdial_ms((double)t->min_us), wsdial_ms(wsdial_rtt_avg(t)),
	    wsdial_ms((double)t->max_us), wsdial_ms(wsdial_rtt_mdev(t)));
}

static int
wsdial_json_latency(struct buf *b, const struct wsdial_histogram *h)
{
	if (h->all.n == 0)
		return buf_append_str(b, ",\"latency_ms\":null}\n");
	if (buf_printf(b, ",\"latency_ms\":{\"min\":%.3f,\"avg\":%.3f,\"mdev\":%.3f",
		wsdial_ms((double)h->all.min_us), wsdial_ms(wsdial_rtt_avg(&h->all)),
		wsdial_ms(wsdial_rtt_mdev(&h->all))) == -1)
		return -1;
	for (size_t i = 0; i < WSDIAL_PERCENTILES; i++)
		if (buf_printf(b, ",\"%s\":%.3f", wsdial_percentiles[i].name,
			wsdial_ms((double)wsdial_histogram_value(
			    h, wsdial_percentiles[i].permille))) == -1)
			return -1;
	return buf_printf(b, ",\"max\":%.3f}}\n", wsdial_ms((double)h->all.max_us));
}

static double
wsdial_rate(const struct wsdial_load_result *r)
{
	return r->took_us > 0 ? (double)r->messages * 1e6 / (double)r->took_us : 0;
}

static int
wsdial_json_load(struct buf *b, const struct wsdial_env *env, const struct wsdial_agreed *agreed,
    const struct wsdial_load_result *r)
{
	const struct wsdial_options *o = env->o;

	if (wsdial_json_head(b, env, agreed) == -1 ||
	    buf_printf(b,
		",\"compressed\":%s,\"connections\":%" PRIu64 ",\"streams\":%" PRIu64
		",\"duration_s\":%.3f",
		agreed->deflate && !o->leave_plain ? "true" : "false", o->connections,
		o->streams > 0 ? o->streams : 1, (double)r->took_us / 1e6) == -1)
		return -1;
	if (o->opens ? buf_printf(b, ",\"opens\":%" PRIu64 ",\"opens_per_second\":%.1f",
			   r->messages, wsdial_rate(r)) == -1
		     : buf_printf(b,
			   ",\"in_flight\":%" PRIu64 ",\"size\":%" PRIu64 ",\"messages\":%" PRIu64
			   ",\"messages_per_second\":%.1f,\"bytes_per_second\":%.0f",
			   r->in_flight, r->size, r->messages, wsdial_rate(r),
			   wsdial_rate(r) * (double)r->size) == -1)
		return -1;
	return wsdial_json_latency(b, r->latency);
}

/* Write the object, if it was made. */
static void
wsdial_json_write(const struct wsdial_env *env, struct buf *b, int made)
{
	if (made == -1)
		wsdial_out_error(env->out, "out of memory");
	else if (wsdial_write(STDOUT_FILENO, b->p, b->n) == -1)
		env->out->broken = errno;
	buf_clear(b);
}

/* ---- for people */

void
wsdial_report_ping(const struct wsdial_env *env, const struct wsdial_agreed *agreed,
    const struct wsdial_ping_result *r)
{
	const struct wsdial_rtt *t = r->rtt;
	struct buf b;

	if (env->o->json) {
		buf_init(&b, WSDIAL_REPORT_MAX);
		wsdial_json_write(env, &b, wsdial_json_ping(&b, env, agreed, r));
		return;
	}
	wsdial_out_line(env->out, "\n--- %s ping statistics ---", env->o->url_text);
	wsdial_out_line(env->out,
	    "%" PRIu64 " pings transmitted, %" PRIu64 " received, %.4g%% loss, "
	    "time %.0fms",
	    r->sent, t->n, 100.0 * (double)(r->sent - t->n) / (double)r->sent,
	    wsdial_ms((double)r->took_us));
	if (t->n > 0)
		wsdial_out_line(env->out, "rtt min/avg/max/mdev = %.3f/%.3f/%.3f/%.3f ms",
		    wsdial_ms((double)t->min_us), wsdial_ms(wsdial_rtt_avg(t)),
		    wsdial_ms((double)t->max_us), wsdial_ms(wsdial_rtt_mdev(t)));
}

void
wsdial_report_load(const struct wsdial_env *env, const struct wsdial_agreed *agreed,
    const struct wsdial_load_result *r)
{
	const struct wsdial_histogram *h = r->latency;
	struct buf b;

	if (env->o->json) {
		buf_init(&b, WSDIAL_REPORT_MAX);
		wsdial_json_write(env, &b, wsdial_json_load(&b, env, agreed, r));
		return;
	}
	if (env->o->opens)
		wsdial_out_line(env->out, "%" PRIu64 " opened in %.2f s: %.0f/s", r->messages,
		    (double)r->took_us / 1e6, wsdial_rate(r));
	else
		wsdial_out_line(env->out,
		    "%" PRIu64 " messages in %.2f s: %.0f messages/s, %.2f MiB/s each "
		    "way",
		    r->messages, (double)r->took_us / 1e6, wsdial_rate(r),
		    wsdial_rate(r) * (double)r->size / (1024 * 1024));
	if (h->all.n == 0)
		return;
	wsdial_out_line(env->out, "latency min/avg/max/mdev = %.3f/%.3f/%.3f/%.3f ms",
	    wsdial_ms((double)h->all.min_us), wsdial_ms(wsdial_rtt_avg(&h->all)),
	    wsdial_ms((double)h->all.max_us), wsdial_ms(wsdial_rtt_mdev(&h->all)));
	for (size_t i = 0; i < WSDIAL_PERCENTILES; i++)
		wsdial_out_line(env->out, "%6.4g%% %10.3f ms",
		    (double)wsdial_percentiles[i].permille / 10,
		    wsdial_ms((double)wsdial_histogram_value(h, wsdial_percentiles[i].permille)));
}
