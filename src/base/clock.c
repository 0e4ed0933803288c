/*
 * Clocks and the dates of RFC 9110 5.6.7.  Any thread; calls libc only.
 *
 * Dates are written and read digit by digit and with our own calendar
 * arithmetic: strftime and strptime depend on the locale, timegm on its
 * argument being sane.
 */
#include "base/clock.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>

#include "base/span.h"

/* The first and the last second of the years 0 to 9999. */
#define CLOCK_MIN ((time_t)-62167219200)
#define CLOCK_MAX ((time_t)253402300799)

static const char clock_days[7][10] = { "Sunday", "Monday", "Tuesday", "Wednesday", "Thursday",
	"Friday", "Saturday" };

static const char clock_months[12][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug",
	"Sep", "Oct", "Nov", "Dec" };

uint64_t
clock_mono_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

uint64_t
clock_mono_ms(void)
{
	return clock_mono_us() / 1000;
}

/* Broken-down UTC; times outside the years 0 to 9999 become their ends. */
static void
clock_utc(time_t t, struct tm *tm)
{
	if (t < CLOCK_MIN)
		t = CLOCK_MIN;
	if (t > CLOCK_MAX)
		t = CLOCK_MAX;
	gmtime_r(&t, tm);
}

/* v in exactly n digits; returns where to go on. */
static char *
clock_put_num(char *p, int v, size_t n)
{
	for (size_t i = n; i-- > 0; v /= 10)
		p[i] = (char)('0' + v % 10);
	return p + n;
}

static char *
clock_put_text(char *p, const char *text, size_t n)
{
	memcpy(p, text, n);
	return p + n;
}

static char *
clock_put_time(char *p, const struct tm *tm)
{
	p = clock_put_num(p, tm->tm_hour, 2);
	*p++ = ':';
	p = clock_put_num(p, tm->tm_min, 2);
	*p++ = ':';
	return clock_put_num(p, tm->tm_sec, 2);
}

void
clock_rfc3339(char *out, size_t size)
{
	struct timespec ts;
	struct tm tm;
	char *p = out;

	assert(size >= 25);
	(void)size;
	clock_gettime(CLOCK_REALTIME, &ts);
	clock_utc(ts.tv_sec, &tm);
	p = clock_put_num(p, tm.tm_year + 1900, 4);
	*p++ = '-';
	p = clock_put_num(p, tm.tm_mon + 1, 2);
	*p++ = '-';
	p = clock_put_num(p, tm.tm_mday, 2);
	*p++ = 'T';
	p = clock_put_time(p, &tm);
	*p++ = '.';
	p = clock_put_num(p, (int)(ts.tv_nsec / 1000000), 3);
	*p++ = 'Z';
	*p = '\0';
}

void
clock_http_date(time_t t, char *out, size_t size)
{
	struct tm tm;
	char *p = out;

	assert(size >= 30);
	(void)size;
	clock_utc(t, &tm);
	p = clock_put_text(p, clock_days[tm.tm_wday], 3);
	p = clock_put_text(p, ", ", 2);
	p = clock_put_num(p, tm.tm_mday, 2);
	*p++ = ' ';
	p = clock_put_text(p, clock_months[tm.tm_mon], 3);
	*p++ = ' ';
	p = clock_put_num(p, tm.tm_year + 1900, 4);
	*p++ = ' ';
	p = clock_put_time(p, &tm);
	clock_put_text(p, " GMT", sizeof(" GMT"));
}

/* Days from 1970-01-01 to a date of the proleptic Gregorian calendar. */
static int64_t
clock_days_from_civil(int year, int month, int day)
{
	/* Years from March on: the leap day is the last day of its year. */
	int64_t y = month > 2 ? year : year - 1;
	int64_t era = (y >= 0 ? y : y - 399) / 400;
	int64_t of_era = y - era * 400;
	int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

	return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static int
clock_month_days(int year, int month)
{
	static const int days[12] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
	bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);

	return days[month - 1] + (month == 2 && leap ? 1 : 0);
}

/* A date being read; ok turns false at the first thing that is wrong. */
struct clock_reader {
	struct span s;
	bool ok;
	int year, month, day, hour, min, sec;
};

static void
clock_take_text(struct clock_reader *r, const char *text)
{
	size_t n = strlen(text);

	if (r->s.n < n || memcmp(r->s.p, text, n) != 0) {
		r->ok = false;
		return;
	}
	r->s.p += n;
	r->s.n -= n;
}

static int
clock_take_num(struct clock_reader *r, size_t n)
{
	int v = 0;

	if (r->s.n < n) {
		r->ok = false;
		return 0;
	}
	for (size_t i = 0; i < n; i++) {
		if (r->s.p[i] < '0' || r->s.p[i] > '9')
			r->ok = false;
		v = v * 10 + (r->s.p[i] - '0');
	}
	r->s.p += n;
	r->s.n -= n;
	return r->ok ? v : 0;
}

static void
clock_take_month(struct clock_reader *r)
{
	for (int i = 0; i < 12; i++) {
		if (r->s.n >= 3 && memcmp(r->s.p, clock_months[i], 3) == 0) {
			clock_take_text(r, clock_months[i]);
			r->month = i + 1;
			return;
		}
	}
	r->ok = false;
}

static void
clock_take_time(struct clock_reader *r)
{
	r->hour = clock_take_num(r, 2);
	clock_take_text(r, ":");
	r->min = clock_take_num(r, 2);
	clock_take_text(r, ":");
	r->sec = clock_take_num(r, 2);
}

/* IMF-fixdate, from behind "Sun": ", 06 Nov 1994 08:49:37 GMT". */
static void
clock_take_imf(struct clock_reader *r)
{
	clock_take_text(r, ", ");
	r->day = clock_take_num(r, 2);
	clock_take_text(r, " ");
	clock_take_month(r);
	clock_take_text(r, " ");
	r->year = clock_take_num(r, 4);
	clock_take_text(r, " ");
	clock_take_time(r);
	clock_take_text(r, " GMT");
}

/* RFC 850, from behind "Sunday": ", 06-Nov-94 08:49:37 GMT". */
static void
clock_take_rfc850(struct clock_reader *r)
{
	struct tm now;

	clock_take_text(r, ", ");
	r->day = clock_take_num(r, 2);
	clock_take_text(r, "-");
	clock_take_month(r);
	clock_take_text(r, "-");
	r->year = clock_take_num(r, 2);
	clock_take_text(r, " ");
	clock_take_time(r);
	clock_take_text(r, " GMT");
	/* More than 50 years ahead is the last century (RFC 9110 5.6.7). */
	clock_utc(time(NULL), &now);
	r->year += (now.tm_year + 1900) / 100 * 100;
	if (r->year > now.tm_year + 1900 + 50)
		r->year -= 100;
}

/* asctime, from behind "Sun": " Nov  6 08:49:37 1994". */
static void
clock_take_asctime(struct clock_reader *r)
{
	clock_take_text(r, " ");
	clock_take_month(r);
	clock_take_text(r, " ");
	if (r->s.n > 0 && r->s.p[0] == ' ') {
		clock_take_text(r, " ");
		r->day = clock_take_num(r, 1);
	} else {
		r->day = clock_take_num(r, 2);
	}
	clock_take_text(r, " ");
	clock_take_time(r);
	clock_take_text(r, " ");
	r->year = clock_take_num(r, 4);
}

/* The day's name says which of the three forms follows. */
static void
clock_take_date(struct clock_reader *r)
{
	for (int i = 0; i < 7; i++) {
		const char *day = clock_days[i];
		size_t n = strlen(day);

		if (r->s.n < n || memcmp(r->s.p, day, 3) != 0)
			continue;
		if (memcmp(r->s.p, day, n) == 0) {
			clock_take_text(r, day);
			clock_take_rfc850(r);
			return;
		}
		r->s.p += 3;
		r->s.n -= 3;
		if (r->s.p[0] == ',')
			clock_take_imf(r);
		else
			clock_take_asctime(r);
		return;
	}
	r->ok = false;
}

int
clock_parse_http_date(const char *p, size_t n, time_t *out)
{
	struct clock_reader r = { .s = { p, n }, .ok = true };

	clock_take_date(&r);
	if (!r.ok || r.s.n != 0)
		return -1;
	/* 60 is a leap second. */
	if (r.hour > 23 || r.min > 59 || r.sec > 60)
		return -1;
	if (r.day < 1 || r.day > clock_month_days(r.year, r.month))
		return -1;
	*out = (time_t)(clock_days_from_civil(r.year, r.month, r.day) * 86400 + r.hour * 3600 +
	    r.min * 60 + r.sec);
	return 0;
}
