/*
 * Errors and warnings of a load; see report.h.
 */
#include "config/report.h"

#include <stdio.h>

#include "base/log.h"
#include "config/keys.h"

#define REPORT_MAX 2048
#define REPORT_VALUE_MAX 90 /* bytes shown of a value */

static void report_line(struct config_report *r, bool is_error, const char *file, unsigned line,
    const char *fmt, va_list ap) __attribute__((format(printf, 5, 0)));

static void
report_line(struct config_report *r, bool is_error, const char *file, unsigned line,
    const char *fmt, va_list ap)
{
	char out[REPORT_MAX];
	int n;

	if (r->fn == NULL)
		return;
	if (strcmp(file, CONFIG_SET_FILE) == 0)
		n = snprintf(out, sizeof(out), "%s: ", file);
	else
		n = snprintf(out, sizeof(out), "%s:%u: ", file, line);
	if (n >= 0 && (size_t)n < sizeof(out))
		vsnprintf(out + n, sizeof(out) - (size_t)n, fmt, ap);
	r->fn(r->arg, is_error, out);
}

void
config_error(struct config_report *r, const char *file, unsigned line, const char *fmt, ...)
{
	va_list ap;

	r->errors++;
	va_start(ap, fmt);
	report_line(r, true, file, line, fmt, ap);
	va_end(ap);
}

void
config_warn(struct config_report *r, const char *file, unsigned line, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	report_line(r, false, file, line, fmt, ap);
	va_end(ap);
}

void
config_no_memory(struct config_report *r)
{
	if (!r->no_memory)
		config_error(r, r->path, 0, "out of memory while the configuration is read");
	r->no_memory = true;
}

const char *
config_show(struct config_shown *out, struct span s)
{
	return log_escape(out->text, sizeof(out->text), s, REPORT_VALUE_MAX);
}

const char *
config_show_head(struct config_shown *out, unsigned section_type, const char *name)
{
	const struct config_section_info *info = &config_sections[section_type];

	if (name == NULL)
		return info->head;
	snprintf(out->text, sizeof(out->text), "[%s %s]", info->name, name);
	return out->text;
}
