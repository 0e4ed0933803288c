/*
 * The configuration: a frozen, reference-counted snapshot of everything that
 * the INI file says.  Built by config/load.c out of the one key table
 * (config/keys.h), checked whole, and then never changed: any thread may read
 * it, and who needs it longer takes a reference.
 */
#ifndef CONFIG_CONFIG_H
#define CONFIG_CONFIG_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/log.h"
#include "base/num.h"

/* Times are ms; CONFIG_NEVER is `infinity`. */
#define CONFIG_NEVER NUM_TIME_INFINITY

enum config_tristate_origin { CONFIG_ORIGIN_NO, CONFIG_ORIGIN_YES, CONFIG_ORIGIN_WITH_COOKIE };
enum config_compression {
	CONFIG_COMPRESSION_OFF,
	CONFIG_COMPRESSION_EDGE,
	CONFIG_COMPRESSION_PASSTHROUGH
};
enum config_rate_action { CONFIG_RATE_DELAY, CONFIG_RATE_CLOSE };
enum config_client_cert {
	CONFIG_CLIENT_CERT_OFF,
	CONFIG_CLIENT_CERT_OPTIONAL,
	CONFIG_CLIENT_CERT_REQUIRED
};
enum config_action {
	CONFIG_ACTION_ECHO,
	CONFIG_ACTION_FORWARD,
	CONFIG_ACTION_PROXY,
	CONFIG_ACTION_STATIC
};
enum config_protocol {
	CONFIG_PROTOCOL_HTTP,
	CONFIG_PROTOCOL_STREAM,
	CONFIG_PROTOCOL_LINES,
	CONFIG_PROTOCOL_PACKET
};
enum config_message_type { CONFIG_MESSAGE_BY_PROTOCOL, CONFIG_MESSAGE_TEXT, CONFIG_MESSAGE_BINARY };
enum config_balance {
	CONFIG_BALANCE_LEAST_CONNECTIONS,
	CONFIG_BALANCE_ROUND_ROBIN,
	CONFIG_BALANCE_SOURCE
};
enum config_proxy_protocol { CONFIG_PROXY_OFF, CONFIG_PROXY_V1, CONFIG_PROXY_V2 };
enum config_forwarded {
	CONFIG_FORWARDED_X,
	CONFIG_FORWARDED_RFC7239,
	CONFIG_FORWARDED_BOTH,
	CONFIG_FORWARDED_OFF
};
enum config_tls_version { CONFIG_TLS_1_2, CONFIG_TLS_1_3 };

/* What the files say of one section: see config_where. */
struct config_tsection;

/* A list of strings, each owned by the snapshot. */
struct config_list {
	char **v;
	size_t n;
};

/* A list of parsed addresses. */
struct config_addrs {
	struct addr *v;
	size_t n;
};

struct config_server {
	const struct config_tsection *section; /* for config_where; NULL when there is none */
	uint64_t workers;		       /* 0 is auto */
	char *user, *group;		       /* NULL when not set */
	uint64_t max_connections;	       /* 0 is auto */
	uint64_t max_connections_per_client;   /* 0: no limit */
	uint64_t handshake_timeout_ms;
	uint64_t drain_timeout_ms;
	enum log_level log_level;
	char *log_target;
	enum log_format log_format;
	char *access_log;
	char *admin_address; /* NULL: none */
	uint64_t compression_memory;
};

struct counters_set;

struct config_listen {
	const struct config_tsection *section; /* for config_where */
	char *name;
	unsigned line;	  /* where the section stands (of file) */
	const char *file; /* borrowed from the snapshot */
	struct config_addrs address;
	bool tls;
	struct config_list certificate, certificate_key;
	enum config_tls_version tls_min_version;
	char *tls_ciphers; /* NULL: OpenSSL's defaults */
	enum config_client_cert client_certificate;
	char *client_ca;
	bool http2;
	bool proxy_protocol;
	struct addr_cidr *trusted_proxies;
	size_t n_trusted_proxies;
	struct config_list trusted_proxies_text;
	uint64_t max_streams;
	uint64_t idle_connection_timeout_ms;
	uint64_t connection_rate;
	struct counters_set *counters; /* gateway/counters.h; set with the attachment */
};

/* One AllowedOrigins value, parsed (policy/origin.c compares). */
struct config_origin {
	enum {
		CONFIG_ORIGIN_ANY,
		CONFIG_ORIGIN_NULL,
		CONFIG_ORIGIN_EXACT,
		CONFIG_ORIGIN_WILDCARD
	} kind;
	char *scheme; /* lower case */
	char *host;   /* lower case; for WILDCARD what stands behind "*.", IPv6 in brackets */
	uint16_t
	    port; /* with the scheme's default filled in; 0: scheme without a default and no port */
};

struct config_websocket {
	struct config_origin *allowed_origins;
	size_t n_allowed_origins; /* 0: all */
	struct config_list allowed_origins_text;
	enum config_tristate_origin require_origin;
	uint64_t keepalive_interval_ms; /* 0 or CONFIG_NEVER: off */
	uint64_t keepalive_timeout_ms;	/* 0 or CONFIG_NEVER: unsolicited PONG */
	uint64_t idle_timeout_ms, max_age_ms;
	uint64_t message_rate, byte_rate;
	enum config_rate_action rate_action;
	uint64_t close_timeout_ms;
	uint64_t max_message_size; /* 0: no limit */
	uint64_t buffer_limit;
	bool validate_utf8;
	struct config_list subprotocols;
	enum config_compression compression;
	uint64_t compression_level, compression_min_size;
	uint64_t server_max_window_bits, client_max_window_bits;
	bool server_context_takeover, client_context_takeover;
};

struct config_backend {
	char *name;
	unsigned line;
	const char *file;
	size_t index; /* in the snapshot's backend[] */
	struct config_addrs address;
	enum config_protocol protocol;
	enum config_message_type message_type;
	enum config_balance balance;
	uint64_t connect_timeout_ms, response_timeout_ms;
	uint64_t keepalive_interval_ms, keepalive_timeout_ms;
	uint64_t health_check_interval_ms;
	char *health_check_path; /* NULL: connecting is enough */
	uint64_t max_fails, fail_timeout_ms;
	uint64_t max_connections;
	enum config_proxy_protocol send_proxy_protocol;
	enum config_forwarded forwarded_headers;
	struct counters_set *counters; /* as config_listen's */
};

struct config_route {
	char *name;
	unsigned line;
	const char *file;
	size_t index; /* in the snapshot's route[] */
	char *host;   /* lower case; NULL: any; "*.example.com" as it stands */
	char *path;   /* without the final '*' of a prefix */
	bool path_is_prefix;
	enum config_action action;
	const struct config_backend *backend; /* NULL for echo and static */
	char *backend_name;
	char *document_root;	       /* NULL but for static */
	struct config_websocket ws;    /* [websocket] with the route's own keys over it */
	struct counters_set *counters; /* as config_listen's */
};

enum config_attachment { CONFIG_ATTACHED_BACKENDS, CONFIG_ATTACHED_COUNTERS, CONFIG_ATTACHMENTS };

struct config {
	_Atomic unsigned refs;
	struct config_server server;
	struct config_listen *listen;
	size_t n_listen;
	struct config_route *route;
	size_t n_route;
	struct config_backend *backend;
	size_t n_backend;
	/* what config_dump needs: private to config/ */
	struct config_sources *sources;
	/* what higher layers keep as long as the snapshot lives: set before it is shared */
	void *attached[CONFIG_ATTACHMENTS];
	void (*attached_free[CONFIG_ATTACHMENTS])(void *attached);
};

/* One `--set SECTION.KEY=VALUE` or `SECTION.NAME.KEY=VALUE`, as given. */
struct config_set {
	const char *text;
};

/* Receives each error and warning, one line without newline, "FILE:LINE: message". */
typedef void config_report_fn(void *arg, bool is_error, const char *line);

/*
 * Read FILE, then each .ini file in FILE.d, then the sets, and check it all.  A new snapshot
 * with one reference, or NULL after every error was reported (at least one).
 * Warnings are reported too.  Checks that need the file system (certificates readable and
 * matching is io/'s: see tls_ctx_new; DocumentRoot is a readable folder) are part of it but
 * for TLS.
 */
struct config *config_load(const char *path, const struct config_set *sets, size_t n_sets,
    config_report_fn *report, void *arg);

/* A higher layer's own checks: reports what is wrong with c, and keeps nothing of it. */
typedef void config_tell_fn(const struct config *c, config_report_fn *report, void *arg);

/*
 * As config_load; where that fails, tell gets what could be understood (values with an error are
 * at their defaults), so that one run names the higher layer's errors as well.
 */
struct config *config_load_telling(const char *path, const struct config_set *sets, size_t n_sets,
    config_tell_fn *tell, config_report_fn *report, void *arg);

/*
 * Only [server] AdminAddress, whatever else is wrong with the files: for who wants to reach a
 * daemon that runs with an earlier state of them.  0 with *out (the caller's, mem_free; NULL: not
 * set), or -1 after it was reported: FILE cannot be read, or the value is none.
 */
int config_find_admin(const char *path, char **out, config_report_fn *report, void *arg);

/*
 * The start of a message about a key's value, "FILE:LINE: " (or "--set: "), for checks of higher
 * layers: where the item of this text stands in a list, or where the key was set last, or the
 * section's head.  value may be NULL; cut to size.  The bytes written, without the NUL; 0 when s
 * is NULL, too.
 */
size_t config_where(
    char *out, size_t size, const struct config_tsection *s, const char *key, const char *value);

struct config *config_ref(struct config *c);
void config_unref(struct config *c); /* NULL is nothing */

/* Write --dump-config's text: every key in force, `[section name]` heads,
 * `Key=value  # FILE:LINE` or `# default`.  0, or -1 when out cannot be written. */
int config_dump(const struct config *c, int fd);

#endif
