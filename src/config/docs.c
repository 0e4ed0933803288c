/*
 * The sample file and the man page's lists, from the table; see docs.h.
 *
 * Return values are gathered in `failed`, so that the text stands in the
 * order in which it is read.
 */
#include "config/docs.h"

#include <stdio.h>

#include "config/report.h"

#define DOCS_WIDTH 78

struct docs {
	struct buf *out; /* borrowed */
	bool failed;
};

static const char docs_ini_intro[] =
    "# The configuration of wsrelayd(8); every key is explained in wsrelayd.ini(5).\n"
    "# As it is, it serves an echo and a page to try it, http://127.0.0.1:8080/, to\n"
    "# this machine alone. Every other key stands here with its default, behind a #;\n"
    "# examples are at the end.\n"
    "#\n"
    "# wsrelayd -t checks what you wrote, wsrelayd --dump-config shows what is in\n"
    "# force. Files in wsrelayd.ini.d/ whose names end in .ini are read after this\n"
    "# one. Comments stand on lines of their own.\n";

/* Behind the keys of [route echo]: what the page of conf/demo asks for, and the page itself. */
static const char docs_ini_routes[] =
    "\n"
    "# A key of [websocket], for this route alone.\n"
    "Subprotocols=chat echo\n"
    "\n"
    "# The page. The path above is the more exact one, so it wins.\n"
    "[route page]\n"
    "Path=/*\n"
    "Action=static\n"
    "DocumentRoot=conf/demo\n";

/* A space behind each #, as these are no defaults: see tests/unit/test_docs.c. */
static const char docs_ini_examples[] =
    "\n"
    "# ---- Examples: take the \"# \" away from a whole block.\n"
    "#\n"
    "# Clients with TLS on all addresses. wsrelayd(8) says how systemd hands keys\n"
    "# over that only root can read.\n"
    "#\n"
    "# [listen public]\n"
    "# Address=*:443\n"
    "# TLS=yes\n"
    "# Certificate=/etc/ssl/wsrelayd/fullchain.pem\n"
    "# CertificateKey=/etc/ssl/wsrelayd/privkey.pem\n"
    "#\n"
    "# An application with its pages and WebSockets on two machines; browsers only\n"
    "# from its own site, and those that vanished are noticed within 80 seconds.\n"
    "#\n"
    "# [route app]\n"
    "# Host=app.example.com\n"
    "# Path=/*\n"
    "# Action=proxy\n"
    "# Backend=web\n"
    "# AllowedOrigins=https://app.example.com\n"
    "# KeepAliveInterval=1min\n"
    "# KeepAliveTimeout=20s\n"
    "#\n"
    "# [backend web]\n"
    "# Address=10.0.0.11:3000 10.0.0.12:3000\n"
    "# HealthCheckInterval=5s\n"
    "#\n"
    "# A program that knows nothing of WebSocket: each message is a line.\n"
    "#\n"
    "# [route lines]\n"
    "# Path=/lines\n"
    "# Action=forward\n"
    "# Backend=lines\n"
    "#\n"
    "# [backend lines]\n"
    "# Address=unix:/run/lines/lines.sock\n"
    "# Protocol=lines\n";

static void
docs_str(struct docs *d, const char *s)
{
	d->failed |= buf_append_str(d->out, s) == -1;
}

static void
docs_char(struct docs *d, char c)
{
	d->failed |= buf_append_char(d->out, c) == -1;
}

/* As "# ..." lines. */
static void
docs_wrap(struct docs *d, const char *text)
{
	size_t col = 0, n;

	while (*text != '\0') {
		n = strcspn(text, " ");
		if (col > 0 && col + 1 + n > DOCS_WIDTH) {
			docs_char(d, '\n');
			col = 0;
		}
		docs_char(d, col == 0 ? '#' : ' ');
		if (col == 0) {
			docs_char(d, ' ');
			col = 1;
		}
		d->failed |= buf_append(d->out, text, n) == -1;
		col += 1 + n;
		text += n;
		text += strspn(text, " ");
	}
	docs_char(d, '\n');
}

/* One word for troff; returns how long it is as written. */
static size_t
docs_roff_word(struct docs *d, const char *word, size_t n, bool line_start)
{
	size_t len = n;

	if (line_start && (word[0] == '.' || word[0] == '\'')) {
		docs_str(d, "\\&");
		len += 2;
	}
	for (size_t i = 0; i < n; i++) {
		if (word[i] == '\\' || word[i] == '-') {
			docs_str(d, word[i] == '-' ? "\\-" : "\\e");
			len++;
		} else {
			docs_char(d, word[i]);
		}
	}
	return len;
}

/* For troff: a new line behind each sentence and where a line is full. */
static void
docs_roff(struct docs *d, const char *text)
{
	size_t col = 0, n;
	bool ends = false;

	while (*text != '\0') {
		n = strcspn(text, " ");
		if (col > 0 && (ends || col + 1 + n > DOCS_WIDTH - 4)) {
			docs_char(d, '\n');
			col = 0;
		} else if (col > 0) {
			docs_char(d, ' ');
			col++;
		}
		col += docs_roff_word(d, text, n, col == 0);
		ends = text[n - 1] == '.';
		text += n;
		text += strspn(text, " ");
	}
	docs_char(d, '\n');
}

/* "Takes a number from 1 to 1024, or auto; the default is auto." */
static void
docs_takes(const struct config_key *k, char *out, size_t size)
{
	struct config_shown expected;

	snprintf(out, size, "%s %s; %s%s.",
	    config_key_is_list(k) ? "A list, split at white space. Each item is" : "Takes",
	    config_key_expected(k, expected.text, sizeof(expected.text)),
	    k->required		    ? "required"
		: k->def[0] == '\0' ? "empty by default"
				    : "the default is ",
	    k->def);
}

static void
docs_ini_key(struct docs *d, const struct config_key *k, bool active)
{
	char text[1024];

	docs_char(d, '\n');
	docs_wrap(d, k->doc);
	docs_takes(k, text, sizeof(text));
	docs_wrap(d, text);
	if (!active || k->example == NULL)
		docs_char(d, '#');
	docs_str(d, k->name);
	docs_char(d, '=');
	docs_str(d, k->example != NULL ? k->example : k->def);
	docs_char(d, '\n');
}

/* The names of the sample's sections; [backend] is commented out, head and all. */
static const char *
docs_ini_head(enum config_section_type s)
{
	switch (s) {
	case CONFIG_S_SERVER:
		return "[server]\n";
	case CONFIG_S_LISTEN:
		return "[listen main]\n";
	case CONFIG_S_WEBSOCKET:
		return "[websocket]\n";
	case CONFIG_S_ROUTE:
		return "[route echo]\n";
	case CONFIG_S_BACKEND:
		return "#[backend app]\n";
	}
	return "";
}

int
config_docs_ini(struct buf *out)
{
	struct docs d = { .out = out };

	docs_str(&d, docs_ini_intro);
	for (unsigned s = 0; s < CONFIG_S_COUNT; s++) {
		docs_char(&d, '\n');
		docs_wrap(&d, config_sections[s].doc);
		docs_str(&d, docs_ini_head((enum config_section_type)s));
		for (size_t i = 0; i < config_keys_n; i++)
			if (config_keys[i].section == s)
				docs_ini_key(&d, &config_keys[i], s != CONFIG_S_BACKEND);
		if (s == CONFIG_S_ROUTE)
			docs_str(&d, docs_ini_routes);
	}
	docs_str(&d, docs_ini_examples);
	return d.failed ? -1 : 0;
}

static void
docs_man_key(struct docs *d, const struct config_key *k)
{
	char text[1024];

	docs_str(d, ".It Ic ");
	docs_str(d, k->name);
	docs_char(d, '\n');
	docs_roff(d, k->doc);
	docs_takes(k, text, sizeof(text));
	docs_roff(d, text);
}

int
config_docs_man(enum config_section_type s, struct buf *out)
{
	struct docs d = { .out = out };

	docs_str(&d, ".Bl -tag -width Ds\n");
	for (size_t i = 0; i < config_keys_n; i++)
		if (config_keys[i].section == s)
			docs_man_key(&d, &config_keys[i]);
	docs_str(&d, ".El\n");
	return d.failed ? -1 : 0;
}
