/* What tests of src/io/transport.c share; see unit_transport.h. */
#include "unit_transport.h"

#include "base/mem.h"

void
side_bytes(uint32_t *seed, uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)unit_random(seed);
}

void
side_pump(struct side *s)
{
	struct iovec iov[5];
	uint8_t data[5][3000];
	size_t sum;
	int n;

	while (s->sent < s->to_send && transport_queued(&s->t) == 0) {
		n = 1 + (int)(unit_random(&s->size_seed) % 5);
		sum = 0;
		for (int i = 0; i < n; i++) {
			iov[i].iov_base = data[i];
			iov[i].iov_len = unit_random(&s->size_seed) % sizeof(data[i]);
			if (s->sent + sum + iov[i].iov_len > s->to_send)
				iov[i].iov_len = s->to_send - s->sent - sum;
			side_bytes(&s->sent_seed, data[i], iov[i].iov_len);
			sum += iov[i].iov_len;
		}
		s->in_down_call = true;
		ck_assert_int_eq(transport_write(&s->t, iov, n), 0);
		s->in_down_call = false;
		memset(data, 0, sizeof(data)); /* borrowed for the call only */
		s->sent += sum;
	}
}

static struct side *
side_of(struct transport *t)
{
	struct side *s = (struct side *)t;

	ck_assert(!s->in_down_call);
	return s;
}

static void
side_close(struct side *s, bool reset)
{
	transport_close(&s->t, reset);
	ck_assert(transport_closed(&s->t));
	loop_stop(s->loop);
}

void
side_on_ready(struct transport *t)
{
	(void)t;
	ck_abort_msg("there is no TLS here");
}

static void
side_on_readable(struct transport *t)
{
	struct side *s = side_of(t);
	const char *why = "";
	size_t n = 0;

	s->readable++;
	if (s->close_in == CLOSE_IN_READABLE) {
		side_close(s, false);
		return;
	}
	if (s->read_size == 0)
		return;
	ck_assert_uint_le(s->got_n + s->read_size, sizeof(s->got));
	s->read_status = transport_read(t, s->got + s->got_n, s->read_size, &n, &why);
	if (s->read_status == IO_OK) {
		ck_assert_uint_ge(n, 1);
		ck_assert_uint_le(n, s->read_size);
		s->got_n += n;
		if (s->got_n == s->stop_on_got)
			loop_stop(s->loop);
		return;
	}
	snprintf(s->read_why, sizeof(s->read_why), "%s", why);
	if (s->read_status != IO_AGAIN && s->stop_on_read_end)
		loop_stop(s->loop);
}

void
side_on_drained(struct transport *t)
{
	struct side *s = side_of(t);

	s->drained++;
	ck_assert_uint_eq(transport_queued(t), 0);
	if (s->write_on_drained)
		side_pump(s);
	if (s->close_in == CLOSE_IN_DRAINED)
		side_close(s, false);
	if (s->stop_on_drained)
		loop_stop(s->loop);
}

void
side_on_failed(struct transport *t, const char *why)
{
	struct side *s = side_of(t);

	s->failed++;
	snprintf(s->why, sizeof(s->why), "%s", why);
	if (s->close_in == CLOSE_IN_FAILED)
		side_close(s, true);
	if (s->stop_on_failed)
		loop_stop(s->loop);
}

const struct transport_events side_events = {
	.ready = side_on_ready,
	.readable = side_on_readable,
	.drained = side_on_drained,
	.failed = side_on_failed,
};

/* The peer reads a random number of bytes and compares. */
static void
side_on_peer(evutil_socket_t fd, short what, void *arg)
{
	struct side *s = arg;
	uint8_t got[5000], want[5000];
	ssize_t n = recv(fd, got, 1 + unit_random(&s->size_seed) % sizeof(got), 0);

	(void)what;
	ck_assert_int_ge(n, 0);
	if (n == 0) {
		s->peer_eof = true;
		event_del(s->peer_ev);
		loop_stop(s->loop);
		return;
	}
	side_bytes(&s->peer_seed, want, (size_t)n);
	ck_assert_mem_eq(got, want, (size_t)n);
	s->peer_got += (size_t)n;
	if (s->peer_got == s->stop_on_peer_got)
		loop_stop(s->loop);
}

struct side *
side_new(const int fd[2])
{
	struct side *s = mem_zalloc(sizeof(*s));

	ck_assert_ptr_nonnull(s);
	s->loop = loop_new();
	ck_assert_ptr_nonnull(s->loop);
	s->peer = fd[1];
	s->sent_seed = s->peer_seed = 4711;
	s->size_seed = 42;
	s->read_size = 100;
	ck_assert_int_eq(transport_start(&s->t, s->loop, &side_events, fd[0], NULL), 0);
	s->peer_ev = event_new(loop_base(s->loop), fd[1], EV_READ | EV_PERSIST, side_on_peer, s);
	return s;
}

struct side *
side_new_unix(void)
{
	int fd[2];

	unit_unix_pair(fd);
	return side_new(fd);
}

struct side *
side_new_tcp(void)
{
	int fd[2];

	unit_tcp_pair(fd);
	return side_new(fd);
}

void
side_small_buffers(struct side *s)
{
	int size = 2048;

	setsockopt(s->t.fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
}

void
side_peer_reset(struct side *s)
{
	event_del(s->peer_ev);
	unit_reset(s->peer);
	s->peer = -1;
}

void
side_free(struct side *s)
{
	transport_close(&s->t, false);
	event_free(s->peer_ev);
	if (s->peer != -1)
		close(s->peer);
	loop_free(s->loop);
	mem_free(s);
}

int
side_write(struct side *s, const void *p, size_t n)
{
	struct iovec iov = { .iov_base = (void *)(uintptr_t)p, .iov_len = n };
	int rc;

	s->in_down_call = true;
	rc = transport_write(&s->t, &iov, 1);
	s->in_down_call = false;
	return rc;
}
