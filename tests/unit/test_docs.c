/*
 * conf/wsrelayd.ini and the lists of man/wsrelayd.ini.5 say what the table of
 * keys says.  Asked with --rewrite, this program writes them anew:
 *
 *	make unit-programs && build/tests/unit/test_docs --rewrite
 *
 * It is run in the top folder of the source tree, or finds it in SRCDIR.
 */
#include "config/docs.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "config/config.h"
#include "unit.h"

#define DOCS_INI "conf/wsrelayd.ini"
#define DOCS_MAN "man/wsrelayd.ini.5"
#define DOCS_MAX ((size_t)1 << 20)
#define DOCS_HINT "; make unit-programs && build/tests/unit/test_docs --rewrite"

static const char *
docs_path(const char *name, char *out, size_t size)
{
	const char *top = getenv("SRCDIR");

	snprintf(out, size, "%s/%s", top != NULL ? top : ".", name);
	return out;
}

/* The file's text, NUL-terminated, which the caller clears; 0, or -1 with errno. */
static int
docs_read(const char *name, struct buf *out)
{
	char path[4096];
	ssize_t n = -1;
	int fd;

	buf_init(out, DOCS_MAX);
	fd = open(docs_path(name, path, sizeof(path)), O_RDONLY);
	if (fd == -1 || buf_reserve(out, DOCS_MAX - 1) == -1)
		return -1;
	while ((n = read(fd, out->p + out->n, DOCS_MAX - 1 - out->n)) > 0)
		out->n += (size_t)n;
	out->p[out->n] = '\0';
	close(fd);
	return (int)n;
}

/* The lines of the page from `page` on, with one section's list as the table has it; the rest
 * of the page, or NULL when there are no markers. */
static const char *
docs_man_section(enum config_section_type s, const char *page, struct buf *out)
{
	char begin[64], end[64];
	const char *a, *b;

	snprintf(begin, sizeof(begin), ".\\\" BEGIN %s\n", config_sections[s].name);
	snprintf(end, sizeof(end), ".\\\" END %s\n", config_sections[s].name);
	if ((a = strstr(page, begin)) == NULL || (b = strstr(a, end)) == NULL)
		return NULL;
	a += strlen(begin);
	if (buf_append(out, page, (size_t)(a - page)) == -1 || config_docs_man(s, out) == -1)
		return NULL;
	return b;
}

/* The man page as the table has it; 0, or -1 when its markers are not all there. */
static int
docs_man(const char *page, struct buf *out)
{
	buf_init(out, DOCS_MAX);
	for (unsigned s = 0; s < CONFIG_S_COUNT && page != NULL; s++)
		page = docs_man_section((enum config_section_type)s, page, out);
	return page != NULL && buf_append(out, page, strlen(page) + 1) == 0 ? 0 : -1;
}

static void
docs_same(const char *name, const char *file, const char *table)
{
	size_t line = 1;

	for (; *file != '\0' && *file == *table; file++, table++)
		line += *file == '\n';
	ck_assert_msg(*file == *table, "%s: line %zu is not what the table of keys says" DOCS_HINT,
	    name, line);
}

START_TEST(docs_sample_file_is_the_tables)
{
	struct buf file, table;

	ck_assert_int_eq(docs_read(DOCS_INI, &file), 0);
	buf_init(&table, DOCS_MAX);
	ck_assert_int_eq(config_docs_ini(&table), 0);
	ck_assert_int_eq(buf_append_char(&table, '\0'), 0);
	docs_same(DOCS_INI, file.p, table.p);
	buf_clear(&file);
	buf_clear(&table);
}
END_TEST

START_TEST(docs_man_page_is_the_tables)
{
	struct buf file, table;

	ck_assert_int_eq(docs_read(DOCS_MAN, &file), 0);
	ck_assert_int_eq(docs_man(file.p, &table), 0);
	docs_same(DOCS_MAN, file.p, table.p);
	buf_clear(&file);
	buf_clear(&table);
}
END_TEST

static void
docs_fail(void *arg, bool is_error, const char *line)
{
	(void)arg;
	(void)is_error;
	ck_abort_msg("%s", line);
}

START_TEST(docs_sample_file_is_accepted)
{
	char path[4096];
	struct config *c;

	docs_path(DOCS_INI, path, sizeof(path));
	c = config_load(path, NULL, 0, docs_fail, NULL);
	ck_assert_ptr_nonnull(c);
	config_unref(c);
}
END_TEST

/* The sample with every comment sign in front of a key taken away. */
static struct buf
docs_uncommented(const char *text)
{
	struct buf out;

	buf_init(&out, DOCS_MAX);
	for (; *text != '\0'; text = strchr(text, '\n') + 1) {
		size_t n = strcspn(text, "\n") + 1;

		if (text[0] == '#' && text[1] != ' ' && text[1] != '\n')
			text++, n--;
		ck_assert_int_eq(buf_append(&out, text, n), 0);
	}
	return out;
}

/* Taking a # away must not surprise: every default is a value that is accepted. */
START_TEST(docs_sample_file_uncommented_is_accepted)
{
	char path[] = "/tmp/wsrelayd-docs-XXXXXX";
	/* Not used: what a reader of the sample would set as well. */
	static const struct config_set sets[] = { { "listen.main.HTTP2=no" }, { "route.x.Path=/x" },
		{ "route.x.Action=forward" }, { "route.x.Backend=app" } };
	struct buf file, text;
	struct config *c;
	int fd = mkstemp(path);

	ck_assert_int_eq(docs_read(DOCS_INI, &file), 0);
	text = docs_uncommented(file.p);
	ck_assert_int_ne(fd, -1);
	ck_assert_int_eq((int)write(fd, text.p, text.n), (int)text.n);
	close(fd);
	c = config_load(path, sets, UNIT_COUNT(sets), docs_fail, NULL);
	unlink(path);
	ck_assert_ptr_nonnull(c);
	ck_assert_uint_eq(c->n_backend, 1);
	config_unref(c);
	buf_clear(&file);
	buf_clear(&text);
}
END_TEST

static int
docs_write(const char *name, const struct buf *text)
{
	char path[4096];
	FILE *f = fopen(docs_path(name, path, sizeof(path)), "w");

	if (f == NULL || fwrite(text->p, 1, text->n, f) != text->n || fclose(f) != 0) {
		perror(path);
		return EXIT_FAILURE;
	}
	return EXIT_SUCCESS;
}

static int
docs_rewrite(void)
{
	struct buf ini, page, man;
	int status;

	buf_init(&ini, DOCS_MAX);
	if (docs_read(DOCS_MAN, &page) == -1 || docs_man(page.p, &man) == -1 ||
	    config_docs_ini(&ini) == -1) {
		fprintf(stderr, DOCS_MAN " cannot be read, or its markers are gone\n");
		return EXIT_FAILURE;
	}
	man.n--; /* the NUL */
	status = docs_write(DOCS_INI, &ini) | docs_write(DOCS_MAN, &man);
	buf_clear(&ini);
	buf_clear(&page);
	buf_clear(&man);
	return status;
}

int
main(int argc, char **argv)
{
	const TTest *const cases[] = {
		docs_sample_file_is_the_tables,
		docs_man_page_is_the_tables,
		docs_sample_file_is_accepted,
		docs_sample_file_uncommented_is_accepted,
	};

	if (argc == 2 && strcmp(argv[1], "--rewrite") == 0)
		return docs_rewrite();
	return unit_run("docs", cases, UNIT_COUNT(cases));
}
