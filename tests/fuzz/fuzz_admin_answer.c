/*
 * Fuzz target: what /connections says of texts that peers have chosen, and what wsrelayctl shows
 * of it.
 *
 * Two bytes choose a kind, which values there are, and where the rest is cut into two texts.  As
 * tab-separated values a line must have all its cells, be printable, and give the texts back when
 * \xNN is undone; wsrelayctl's table of it must be printable.  As JSON it must be one line of
 * valid UTF-8 whose quotes are balanced, and whose first text comes back.
 */
#include "codec/ws_utf8.h"
#include "daemon/admin_write.h"
#include "oracle.h"
#include "tools/wsrelayctl_table.h"

#define CELLS 16
#define CLIENT 2
#define SUBPROTOCOL 8

static void
check_cell(struct span cell, struct span text)
{
	size_t k = 0;

	if (text.n == 0) {
		ORACLE(span_eq(cell, SPAN_LIT("-")));
		return;
	}
	ORACLE(!span_eq(cell, SPAN_LIT("-")));
	for (size_t i = 0; i < cell.n; i++, k++) {
		unsigned c = (unsigned char)cell.p[i];

		if (c == '\\') {
			ORACLE(cell.n - i >= 4 && cell.p[i + 1] == 'x');
			ORACLE(sscanf(cell.p + i + 2, "%2x", &c) == 1);
			i += 3;
		}
		ORACLE(k < text.n && c == (unsigned char)text.p[k]);
	}
	ORACLE(k == text.n);
}

static void
check_printable(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		ORACLE(s.p[i] == '\n' || s.p[i] == '\t' || (s.p[i] >= ' ' && s.p[i] < 0x7f));
}

static void
check_tsv(const struct gateway_seen *seen)
{
	static const struct ctl_column columns[] = { { "id", "ID", CTL_TEXT },
		{ "client", "CLIENT", CTL_TEXT }, { "subprotocol", "SUBPROTOCOL", CTL_TEXT },
		{ "bytes_in", "IN", CTL_BYTES }, { "age_ms", "AGE", CTL_AGE } };
	struct span all, line, cell;
	struct buf b, table;
	size_t n = 0;

	buf_init(&b, 1 << 20);
	buf_init(&table, 1 << 20);
	ORACLE(admin_write_connections_begin(&b, true) == 0);
	ORACLE(admin_write_connection(&b, true, true, seen) == 0);
	ORACLE(admin_write_connections_end(&b, true) == 0);
	check_printable(buf_span(&b));
	all = buf_span(&b);
	ORACLE(ctl_next_line(&all, &line) && ctl_next_line(&all, &line));
	for (; ctl_next_cell(&line, &cell); n++) {
		if (n == CLIENT)
			check_cell(cell, seen->client);
		if (n == SUBPROTOCOL)
			check_cell(cell, seen->subprotocol);
	}
	ORACLE(n == CELLS && !ctl_next_line(&all, &line));
	ORACLE(ctl_put_table(&table, buf_span(&b), columns, 5) == 0);
	check_printable(buf_span(&table));
	buf_clear(&b);
	buf_clear(&table);
}

static void
check_json(const struct gateway_seen *seen)
{
	uint8_t state = WS_UTF8_START;
	unsigned depth = 0, keys = 0;
	bool quoted = false;
	struct buf b;

	buf_init(&b, 1 << 20);
	ORACLE(admin_write_connection(&b, false, true, seen) == 0);
	ORACLE(ws_utf8_feed(&state, (const uint8_t *)b.p, b.n) && state == WS_UTF8_START);
	ORACLE(b.p[0] == '\n');
	for (size_t i = 1; i < b.n; i++) {
		unsigned char c = (unsigned char)b.p[i];

		ORACLE(c >= ' ' && c != 0x7f);
		if (quoted && c == '\\') {
			ORACLE(i + 1 < b.n && strchr("\"\\u", b.p[i + 1]) != NULL);
			i += b.p[i + 1] == 'u' ? 5 : 1;
		} else if (c == '"') {
			quoted = !quoted;
		} else if (!quoted) {
			depth += c == '{';
			keys += c == ':';
			ORACLE(depth == 1 && (c != '}' || i == b.n - 1));
		}
	}
	ORACLE(!quoted && keys == CELLS && b.p[b.n - 1] == '}');
	buf_clear(&b);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct gateway_seen seen = {
		.connection_id = 17, .listener = "main", .route = "r", .http = "1.1"
	};
	size_t cut;
	char *p;

	if (size < 2)
		return 0;
	cut = data[1] < size - 2 ? data[1] : size - 2;
	p = oracle_copy(data + 2, size - 2);
	seen.kind = (enum gateway_show)(1 << data[0] % 3);
	seen.stream_id = (data[0] & 4) != 0 ? 5 : 0;
	seen.backend = (data[0] & 8) != 0 ? "unix:/a" : NULL;
	seen.age_ms = (uint64_t)data[0] << (data[1] % 56);
	seen.bytes_in = (uint64_t)data[1] << (data[0] % 56);
	seen.client = (struct span){ p, cut };
	seen.subprotocol = (struct span){ p + cut, size - 2 - cut };
	check_tsv(&seen);
	check_json(&seen);
	free(p);
	return 0;
}
