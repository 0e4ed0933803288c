/* Unit tests of src/config/assign.c and value.c: each key to its field, defaults, bad values. */
#include "unit_config.h"

START_TEST(assign_fills_in_the_defaults)
{
	const struct config_websocket *ws;
	struct unit_config u;

	unit_config_good(
	    &u, "[backend b]\nAddress=unix:/b\n[route b]\nPath=/b\nAction=forward\nBackend=b\n");
	ck_assert_uint_eq(u.c->server.workers, 0);
	ck_assert_ptr_null(u.c->server.user);
	ck_assert_ptr_null(u.c->server.group);
	ck_assert_uint_eq(u.c->server.max_connections, 0);
	ck_assert_uint_eq(u.c->server.max_connections_per_client, 0);
	ck_assert_uint_eq(u.c->server.handshake_timeout_ms, 10000);
	ck_assert_uint_eq(u.c->server.drain_timeout_ms, 30000);
	ck_assert_int_eq(u.c->server.log_level, LOG_L_INFO);
	ck_assert_str_eq(u.c->server.log_target, "stderr");
	ck_assert_int_eq(u.c->server.log_format, LOG_F_TEXT);
	ck_assert_str_eq(u.c->server.access_log, "off");
	ck_assert_ptr_null(u.c->server.admin_address);
	ck_assert_uint_eq(u.c->server.compression_memory, 256 << 20);

	ck_assert(!u.c->listen[0].tls);
	ck_assert_uint_eq(u.c->listen[0].certificate.n, 0);
	ck_assert_int_eq(u.c->listen[0].tls_min_version, CONFIG_TLS_1_2);
	ck_assert_ptr_null(u.c->listen[0].tls_ciphers);
	ck_assert_int_eq(u.c->listen[0].client_certificate, CONFIG_CLIENT_CERT_OFF);
	ck_assert_ptr_null(u.c->listen[0].client_ca);
	ck_assert(!u.c->listen[0].proxy_protocol);
	ck_assert_uint_eq(u.c->listen[0].max_streams, 256);
	ck_assert_uint_eq(u.c->listen[0].idle_connection_timeout_ms, 300000);
	ck_assert_uint_eq(u.c->listen[0].connection_rate, 0);

	ws = &u.c->route[0].ws;
	ck_assert_uint_eq(ws->n_allowed_origins, 0);
	ck_assert_int_eq(ws->require_origin, CONFIG_ORIGIN_NO);
	ck_assert_uint_eq(ws->keepalive_interval_ms, 120000);
	ck_assert(ws->keepalive_timeout_ms == CONFIG_NEVER);
	ck_assert(ws->idle_timeout_ms == CONFIG_NEVER);
	ck_assert(ws->max_age_ms == CONFIG_NEVER);
	ck_assert_uint_eq(ws->message_rate, 0);
	ck_assert_uint_eq(ws->byte_rate, 0);
	ck_assert_int_eq(ws->rate_action, CONFIG_RATE_DELAY);
	ck_assert_uint_eq(ws->close_timeout_ms, 5000);
	ck_assert_uint_eq(ws->max_message_size, 16 << 20);
	ck_assert_uint_eq(ws->buffer_limit, 256 << 10);
	ck_assert(ws->validate_utf8);
	ck_assert_uint_eq(ws->subprotocols.n, 0);
	ck_assert_int_eq(ws->compression, CONFIG_COMPRESSION_OFF);
	ck_assert_uint_eq(ws->compression_level, 1);
	ck_assert_uint_eq(ws->compression_min_size, 256);
	ck_assert_uint_eq(ws->server_max_window_bits, 15);
	ck_assert_uint_eq(ws->client_max_window_bits, 15);
	ck_assert(ws->server_context_takeover);
	ck_assert(ws->client_context_takeover);

	ck_assert_ptr_null(u.c->route[0].host);
	ck_assert_ptr_null(u.c->route[0].document_root);
	ck_assert_int_eq(u.c->backend[0].protocol, CONFIG_PROTOCOL_HTTP);
	ck_assert_int_eq(u.c->backend[0].message_type, CONFIG_MESSAGE_BY_PROTOCOL);
	ck_assert_int_eq(u.c->backend[0].balance, CONFIG_BALANCE_LEAST_CONNECTIONS);
	ck_assert_uint_eq(u.c->backend[0].connect_timeout_ms, 5000);
	ck_assert_uint_eq(u.c->backend[0].response_timeout_ms, 60000);
	ck_assert_uint_eq(u.c->backend[0].keepalive_interval_ms, 0);
	ck_assert(u.c->backend[0].keepalive_timeout_ms == CONFIG_NEVER);
	ck_assert_uint_eq(u.c->backend[0].health_check_interval_ms, 0);
	ck_assert_ptr_null(u.c->backend[0].health_check_path);
	ck_assert_uint_eq(u.c->backend[0].max_fails, 3);
	ck_assert_uint_eq(u.c->backend[0].fail_timeout_ms, 10000);
	ck_assert_uint_eq(u.c->backend[0].max_connections, 0);
	ck_assert_int_eq(u.c->backend[0].send_proxy_protocol, CONFIG_PROXY_OFF);
	ck_assert_int_eq(u.c->backend[0].forwarded_headers, CONFIG_FORWARDED_X);
	unit_config_clear(&u);
}
END_TEST

START_TEST(assign_parses_each_server_key)
{
	struct unit_config u;

	unit_config_good(&u,
	    "[server]\nWorkers=7\nUser=nobody\nGroup=www-data\n"
	    "MaxConnections=1000\nMaxConnectionsPerClient=9\nHandshakeTimeout=500ms\n"
	    "DrainTimeout=0\nLogLevel=DEBUG\nLogTarget=/tmp/a b\nLogFormat=json\n"
	    "AccessLog=./log\n");
	ck_assert_uint_eq(u.c->server.workers, 7);
	ck_assert_str_eq(u.c->server.user, "nobody");
	ck_assert_str_eq(u.c->server.group, "www-data");
	ck_assert_uint_eq(u.c->server.max_connections, 1000);
	ck_assert_uint_eq(u.c->server.max_connections_per_client, 9);
	ck_assert_uint_eq(u.c->server.handshake_timeout_ms, 500);
	ck_assert_uint_eq(u.c->server.drain_timeout_ms, 0);
	ck_assert_int_eq(u.c->server.log_level, LOG_L_DEBUG);
	ck_assert_str_eq(u.c->server.log_target, "/tmp/a b");
	ck_assert_int_eq(u.c->server.log_format, LOG_F_JSON);
	ck_assert_str_eq(u.c->server.access_log, "./log");
	unit_config_clear(&u);
}
END_TEST

START_TEST(assign_parses_listen)
{
	const struct config_listen *l;
	struct unit_config u;

	unit_config_good(&u,
	    "[listen a]\nAddress=127.0.0.1:1 [::1]:2 *:3\nAddress=unix:/s systemd:web\n"
	    "TLS=on\nCertificate=/a.pem\n /b.pem\nCertificateKey=/a.key /b.key\n"
	    "TLSMinVersion=1.3\nTLSCiphers=ECDHE+AESGCM:!aNULL\n  TLS_AES_128_GCM_SHA256\n"
	    "ClientCertificate=required\nClientCA=/ca.pem\nHTTP2=no\n"
	    "IdleConnectionTimeout=90\n"
	    "[listen b]\nAddress=unix:@abstract\nIdleConnectionTimeout=0\n");
	ck_assert_uint_eq(u.c->n_listen, 3);
	l = &u.c->listen[0];
	ck_assert_str_eq(l->name, "a");
	ck_assert_uint_eq(l->line, 1);
	ck_assert_uint_eq(l->address.n, 5);
	ck_assert_int_eq(l->address.v[0].kind, ADDR_IP);
	ck_assert_int_eq(l->address.v[1].kind, ADDR_IP);
	ck_assert_int_eq(l->address.v[2].kind, ADDR_ANY);
	ck_assert_int_eq(l->address.v[3].kind, ADDR_UNIX);
	ck_assert_int_eq(l->address.v[4].kind, ADDR_SYSTEMD);
	ck_assert(l->tls);
	ck_assert_uint_eq(l->certificate.n, 2);
	ck_assert_str_eq(l->certificate.v[1], "/b.pem");
	ck_assert_str_eq(l->certificate_key.v[0], "/a.key");
	ck_assert_int_eq(l->tls_min_version, CONFIG_TLS_1_3);
	ck_assert_str_eq(l->tls_ciphers, "ECDHE+AESGCM:!aNULL:TLS_AES_128_GCM_SHA256");
	ck_assert_int_eq(l->client_certificate, CONFIG_CLIENT_CERT_REQUIRED);
	ck_assert_str_eq(l->client_ca, "/ca.pem");
	ck_assert(!l->http2);
	ck_assert_uint_eq(l->idle_connection_timeout_ms, 90000);
	ck_assert(u.c->listen[1].idle_connection_timeout_ms == CONFIG_NEVER);
	unit_config_clear(&u);
}
END_TEST

START_TEST(assign_parses_websocket)
{
	const struct config_websocket *ws;
	struct unit_config u;

	unit_config_good(&u,
	    "[websocket]\nAllowedOrigins=https://A.example null\nAllowedOrigins=*\n"
	    "RequireOrigin=with-cookie\nKeepAliveInterval=15s\nKeepAliveTimeout=infinity\n"
	    "IdleTimeout=1h\nMaxAge=1d\nCloseTimeout=250ms\nMaxMessageSize=0\nBufferLimit=1M\n"
	    "ValidateUTF8=off\nSubprotocols=chat.v2 chat.v1\nCompression=Edge\n"
	    "CompressionLevel=9\nCompressionMinSize=1K\nServerMaxWindowBits=9\n"
	    "ClientMaxWindowBits=14\nServerContextTakeover=no\nClientContextTakeover=off\n");
	ws = &u.c->route[0].ws;
	ck_assert_uint_eq(ws->n_allowed_origins, 3);
	ck_assert_uint_eq(ws->allowed_origins_text.n, 3);
	ck_assert_int_eq(ws->allowed_origins[0].kind, CONFIG_ORIGIN_EXACT);
	ck_assert_str_eq(ws->allowed_origins[0].host, "a.example");
	ck_assert_int_eq(ws->allowed_origins[1].kind, CONFIG_ORIGIN_NULL);
	ck_assert_int_eq(ws->allowed_origins[2].kind, CONFIG_ORIGIN_ANY);
	ck_assert_int_eq(ws->require_origin, CONFIG_ORIGIN_WITH_COOKIE);
	ck_assert_uint_eq(ws->keepalive_interval_ms, 15000);
	ck_assert(ws->keepalive_timeout_ms == CONFIG_NEVER);
	ck_assert_uint_eq(ws->idle_timeout_ms, 3600000);
	ck_assert_uint_eq(ws->max_age_ms, 86400000);
	ck_assert_uint_eq(ws->close_timeout_ms, 250);
	ck_assert_uint_eq(ws->max_message_size, 0);
	ck_assert_uint_eq(ws->buffer_limit, 1 << 20);
	ck_assert(!ws->validate_utf8);
	ck_assert_int_eq(ws->compression, CONFIG_COMPRESSION_EDGE);
	ck_assert_uint_eq(ws->compression_level, 9);
	ck_assert_uint_eq(ws->compression_min_size, 1024);
	ck_assert_uint_eq(ws->server_max_window_bits, 9);
	ck_assert_uint_eq(ws->client_max_window_bits, 14);
	ck_assert(!ws->server_context_takeover && !ws->client_context_takeover);
	ck_assert_uint_eq(ws->subprotocols.n, 2);
	unit_config_clear(&u);
}
END_TEST

START_TEST(assign_lets_routes_have_their_own)
{
	struct unit_config u;

	unit_config_good(&u,
	    "[route a]\nPath=/a\nAction=echo\nMaxAge=5\nSubprotocols=z\nIdleTimeout=\n"
	    "[route b]\nPath=/b\nAction=echo\nSubprotocols=\nAllowedOrigins=\n"
	    "[websocket]\nMaxAge=1\nIdleTimeout=2\nSubprotocols=x y\nAllowedOrigins=null\n");
	ck_assert_uint_eq(u.c->route[0].ws.max_age_ms, 5000);
	ck_assert_uint_eq(u.c->route[0].ws.idle_timeout_ms, 2000);
	ck_assert_uint_eq(u.c->route[0].ws.subprotocols.n, 1);
	ck_assert_str_eq(u.c->route[0].ws.subprotocols.v[0], "z");
	ck_assert_uint_eq(u.c->route[0].ws.n_allowed_origins, 1);
	ck_assert_uint_eq(u.c->route[1].ws.max_age_ms, 1000);
	ck_assert_uint_eq(u.c->route[1].ws.subprotocols.n, 0);
	ck_assert_uint_eq(u.c->route[1].ws.n_allowed_origins, 0);
	ck_assert_uint_eq(u.c->route[2].ws.subprotocols.n, 2);
	unit_config_clear(&u);
}
END_TEST

START_TEST(assign_takes_a_boolean_where_it_is_one_of_three_words)
{
	static const struct {
		const char *text;
		enum config_tristate_origin value;
	} rows[] = { { "Yes", CONFIG_ORIGIN_YES }, { "true", CONFIG_ORIGIN_YES },
		{ "on", CONFIG_ORIGIN_YES }, { "1", CONFIG_ORIGIN_YES },
		{ "FALSE", CONFIG_ORIGIN_NO }, { "off", CONFIG_ORIGIN_NO },
		{ "0", CONFIG_ORIGIN_NO }, { "With-Cookie", CONFIG_ORIGIN_WITH_COOKIE } };
	struct unit_config u;
	char text[64];

	for (size_t i = 0; i < UNIT_COUNT(rows); i++) {
		snprintf(text, sizeof(text), "[websocket]\nRequireOrigin=%s\n", rows[i].text);
		unit_config_good(&u, text);
		ck_assert_int_eq(u.c->route[0].ws.require_origin, rows[i].value);
		unit_config_clear(&u);
	}
}
END_TEST

START_TEST(assign_parses_route_and_backend)
{
	struct unit_config u;

	unit_config_good(&u,
	    "[backend one]\nAddress=unix:@x\nConnectTimeout=1s\nResponseTimeout=infinity\n"
	    "KeepAliveInterval=10\nKeepAliveTimeout=20\nForwardedHeaders=off\n"
	    "[backend two]\nAddress=app.example:80 unix:@y\n  [::1]:81\nBalance=source\n"
	    "HealthCheckInterval=2\nHealthCheckPath=/up\nMaxFails=0\nFailTimeout=1ms\n"
	    "MaxConnections=7\n"
	    "[route a]\nHost=*.App.Example\nPath=/a/*\nAction=forward\nBackend=two\n"
	    "[route b]\nPath=/\nAction=static\nDocumentRoot=/tmp\n"
	    "[route c]\nPath=/*\nAction=forward\nBackend=one\n");
	ck_assert_str_eq(u.c->route[0].name, "a");
	ck_assert_str_eq(u.c->route[0].host, "*.app.example");
	ck_assert_str_eq(u.c->route[0].path, "/a/");
	ck_assert(u.c->route[0].path_is_prefix);
	ck_assert_int_eq(u.c->route[0].action, CONFIG_ACTION_FORWARD);
	ck_assert_ptr_eq(u.c->route[0].backend, &u.c->backend[1]);
	ck_assert_uint_eq(u.c->route[2].index, 2);
	ck_assert_str_eq(u.c->route[1].document_root, "/tmp");
	ck_assert(!u.c->route[1].path_is_prefix);
	ck_assert_ptr_null(u.c->route[1].backend);
	ck_assert_str_eq(u.c->route[2].path, "/");
	ck_assert_uint_eq(u.c->backend[1].index, 1);
	ck_assert_uint_eq(u.c->backend[1].address.n, 3);
	ck_assert_int_eq(u.c->backend[1].address.v[2].kind, ADDR_IP);
	ck_assert_int_eq(u.c->backend[1].balance, CONFIG_BALANCE_SOURCE);
	ck_assert_uint_eq(u.c->backend[1].health_check_interval_ms, 2000);
	ck_assert_str_eq(u.c->backend[1].health_check_path, "/up");
	ck_assert_uint_eq(u.c->backend[1].max_fails, 0);
	ck_assert_uint_eq(u.c->backend[1].fail_timeout_ms, 1);
	ck_assert_uint_eq(u.c->backend[1].max_connections, 7);
	ck_assert_uint_eq(u.c->backend[0].connect_timeout_ms, 1000);
	ck_assert(u.c->backend[0].response_timeout_ms == CONFIG_NEVER);
	ck_assert_uint_eq(u.c->backend[0].keepalive_interval_ms, 10000);
	ck_assert_uint_eq(u.c->backend[0].keepalive_timeout_ms, 20000);
	ck_assert_int_eq(u.c->backend[0].forwarded_headers, CONFIG_FORWARDED_OFF);
	unit_config_clear(&u);
}
END_TEST

START_TEST(assign_reports_bad_values)
{
	static const struct unit_config_row rows[] = {
		{ "[server]\nWorkers=0\n",
		    "F:2: [server] Workers=0: expected a number from 1 to 1024, or auto\n" },
		{ "[server]\nWorkers=1025\n",
		    "F:2: [server] Workers=1025: expected a number from 1 to 1024, or auto\n" },
		{ "[server]\nWorkers=-1\n",
		    "F:2: [server] Workers=-1: expected a number from 1 to 1024, or auto\n" },
		{ "[server]\nUser=a b\n",
		    "F:2: [server] User=a b: it has white space inside; expected the name of a "
		    "user\n" },
		{ "[server]\nHandshakeTimeout=infinity\n",
		    "F:2: [server] HandshakeTimeout=infinity: expected a time from 1ms to 1h\n" },
		{ "[server]\nDrainTimeout=2d\n",
		    "F:2: [server] DrainTimeout=2d: expected a time from 0 to 1d\n" },
		{ "[server]\nLogLevel=notice\n",
		    "F:2: [server] LogLevel=notice: expected error, warn, info or debug\n" },
		{ "[server]\nLogTarget=sylog\n",
		    "F:2: [server] LogTarget=sylog: a file's path needs a slash, ./ at least; "
		    "expected stderr, syslog or the path of a file\n" },
		{ "[server]\nLogTarget=off\n",
		    "F:2: [server] LogTarget=off: a file's path needs a slash, ./ at least; "
		    "expected stderr, syslog or the path of a file\n" },
		{ "[server]\nAccessLog=/tmp/\n",
		    "F:2: [server] AccessLog=/tmp/: it names a folder; expected off, stderr, syslog "
		    "or the path of a file\n" },
		{ "[websocket]\nKeepAliveInterval=2 min\n",
		    "F:2: [websocket] KeepAliveInterval=2 min: expected a time from 0 to 365d, or "
		    "infinity\n" },
		{ "[websocket]\nKeepAliveInterval=366d\n",
		    "F:2: [websocket] KeepAliveInterval=366d: expected a time from 0 to 365d, or "
		    "infinity\n" },
		{ "[websocket]\nMaxMessageSize=16MB\n",
		    "F:2: [websocket] MaxMessageSize=16MB: expected a size from 0 to 1048576G\n" },
		{ "[websocket]\nBufferLimit=1023\n",
		    "F:2: [websocket] BufferLimit=1023: expected a size from 1K to 1G\n" },
		{ "[websocket]\nValidateUTF8=maybe\n",
		    "F:2: [websocket] ValidateUTF8=maybe: expected yes or no\n" },
		{ "[websocket]\nRequireOrigin=cookie\n",
		    "F:2: [websocket] RequireOrigin=cookie: expected no, yes or with-cookie\n" },
		{ "[websocket]\nCompressionLevel=10\nServerMaxWindowBits=8\n",
		    "F:2: [websocket] CompressionLevel=10: expected a number from 1 to 9\n"
		    "F:3: [websocket] ServerMaxWindowBits=8: expected a number from 9 to 15\n" },
		{ "[websocket]\nSubprotocols=a\nSubprotocols=b, a\n",
		    "F:3: [websocket] Subprotocols=b,: it has a character that a token cannot have; "
		    "expected a token (RFC 9110 5.6.2)\n"
		    "F:3: [websocket] Subprotocols=a: it is in the list already; expected each "
		    "once\n" },
		{ "[websocket]\nAllowedOrigins=https://a.b/\n",
		    "F:2: [websocket] AllowedOrigins=https://a.b/: it ends with a slash: an Origin "
		    "never does; expected an origin such as https://app.example.com or "
		    "https://*.example.com, null, or *\n" },
		{ "[listen a]\nAddress=*:0\n  localhost\n",
		    "F:3: [listen a] Address=localhost: port is missing; expected HOST:PORT, "
		    "[IPV6]:PORT, *:PORT, unix:PATH or systemd:NAME\n" },
		{ "[listen a]\nAddress=*:0\nTrustedProxies=10.0.0.0/33\n",
		    "F:3: [listen a] TrustedProxies=10.0.0.0/33: expected an address or a CIDR "
		    "block such as 192.0.2.0/24\n" },
		{ "[listen a]\nTLS=no\n",
		    "F:1: [listen a] Address is missing; expected HOST:PORT, [IPV6]:PORT, *:PORT, "
		    "unix:PATH or systemd:NAME\n" },
		{ "[route a]\n",
		    "F:1: [route a] Path is missing; expected a path such as /chat, or a prefix "
		    "such as /app/*\n"
		    "F:1: [route a] Action is missing; expected echo, forward, proxy or static\n" },
		{ "[route a]\nPath=x\nAction=ehco\n",
		    "F:2: [route a] Path=x: it does not begin with /; expected a path such as "
		    "/chat, or a prefix such as /app/*\n"
		    "F:3: [route a] Action=ehco: expected echo, forward, proxy or static\n" },
		/* once, though each route inherits it */
		{ "[websocket]\nMaxAge=x\n[route a]\nPath=/a\nAction=echo\n",
		    "F:2: [websocket] MaxAge=x: expected a time from 0 to 365d, or infinity\n" },
	};

	unit_config_expect(rows, UNIT_COUNT(rows), UNIT_CONFIG_REST);
}
END_TEST

START_TEST(assign_keeps_the_admin_endpoint_on_this_machine)
{
#define EXPECTED "; expected unix:PATH, 127.0.0.1:PORT, [::1]:PORT or localhost:PORT\n"
#define FOREIGN ": over TCP the admin endpoint is for this machine alone" EXPECTED
	static const struct unit_config_row rows[] = {
		{ "[server]\nAdminAddress=unix:/run/wsrelayd/admin.sock\n", "" },
		{ "[server]\nAdminAddress=127.0.0.1:9\n", "" },
		{ "[server]\nAdminAddress=127.255.3.4:9\n", "" },
		{ "[server]\nAdminAddress=[::1]:9\n", "" },
		{ "[server]\nAdminAddress=LocalHost:9\n", "" },
		{ "[server]\nAdminAddress=*:9\n", "F:2: [server] AdminAddress=*:9" FOREIGN },
		{ "[server]\nAdminAddress=0.0.0.0:9\n",
		    "F:2: [server] AdminAddress=0.0.0.0:9" FOREIGN },
		{ "[server]\nAdminAddress=[::]:9\n", "F:2: [server] AdminAddress=[::]:9" FOREIGN },
		{ "[server]\nAdminAddress=192.0.2.1:9\n",
		    "F:2: [server] AdminAddress=192.0.2.1:9" FOREIGN },
		{ "[server]\nAdminAddress=gw.example.com:9\n",
		    "F:2: [server] AdminAddress=gw.example.com:9" FOREIGN },
		{ "[server]\nAdminAddress=systemd:admin\n",
		    "F:2: [server] AdminAddress=systemd:admin: systemd cannot pass the admin endpoint "
		    "in" EXPECTED },
		{ "[server]\nAdminAddress=unix:@admin\n",
		    "F:2: [server] AdminAddress=unix:@admin: an abstract socket has no permissions: "
		    "everybody could connect" EXPECTED },
	};

	unit_config_expect(rows, UNIT_COUNT(rows), UNIT_CONFIG_REST);
#undef FOREIGN
#undef EXPECTED
}
END_TEST

int
main(void)
{
	const TTest *const cases[] = {
		assign_fills_in_the_defaults,
		assign_parses_each_server_key,
		assign_parses_listen,
		assign_parses_websocket,
		assign_lets_routes_have_their_own,
		assign_takes_a_boolean_where_it_is_one_of_three_words,
		assign_parses_route_and_backend,
		assign_reports_bad_values,
		assign_keeps_the_admin_endpoint_on_this_machine,
	};

	return unit_run("assign", cases, UNIT_COUNT(cases));
}
