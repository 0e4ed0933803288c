/*
 * A borrowed run of bytes.  Never owns, never NUL-terminated; valid as long
 * as the memory that it points into, which whoever hands it out says.
 */
#ifndef BASE_SPAN_H
#define BASE_SPAN_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct span {
	const char *p; /* borrowed; may be NULL when n is 0 */
	size_t n;      /* bytes */
};

#define SPAN_LIT(s) ((struct span){ (s), sizeof(s) - 1 })
#define SPAN_NONE ((struct span){ NULL, 0 })
/* For printf's "%.*s". */
#define SPAN_ARG(s) (int)(s).n, (s).p != NULL ? (s).p : ""

static inline struct span
span_from_str(const char *s)
{
	return (struct span){ s, s != NULL ? strlen(s) : 0 };
}

static inline char
span_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

static inline bool
span_eq(struct span a, struct span b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

/* ASCII letters compare without regard to case, whatever the locale. */
static inline bool
span_eq_nocase(struct span a, struct span b)
{
	if (a.n != b.n)
		return false;
	/* Most that are the same are written the same. */
	if (a.n == 0 || memcmp(a.p, b.p, a.n) == 0)
		return true;
	for (size_t i = 0; i < a.n; i++)
		if (span_lower(a.p[i]) != span_lower(b.p[i]))
			return false;
	return true;
}

/* Cut spaces and tabs off both ends (RFC 9110 5.6.3 OWS). */
static inline struct span
span_trim(struct span s)
{
	while (s.n > 0 && (s.p[0] == ' ' || s.p[0] == '\t'))
		s.p++, s.n--;
	while (s.n > 0 && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
		s.n--;
	return s;
}

/*
 * Take the next element off a comma-separated field value (RFC 9110 5.6.1):
 * *list is moved behind it, *item is it without white space around it.
 * Empty elements are passed over.  Commas in quoted strings do not split.
 * False when there is none left.
 */
bool span_next_item(struct span *list, struct span *item);

/* Whether the comma-separated list has the token, without regard to case. */
bool span_list_has(struct span list, struct span token);

#endif
