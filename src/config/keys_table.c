/*
 * The table of keys itself; see keys.h.  The keys of a section stand in the
 * order in which the sample file, the man page and the dump show them, where a
 * route's own come before its WebSockets'.
 */
#include "config/accept.h"
#include "config/config.h"
#include "config/keys.h"

#define SERVER(n, f) \
	.section = CONFIG_S_SERVER, .name = n, .offset = offsetof(struct config_server, f)
#define LISTEN(n, f) \
	.section = CONFIG_S_LISTEN, .name = n, .offset = offsetof(struct config_listen, f)
#define WEBSOCKET(n, f) \
	.section = CONFIG_S_WEBSOCKET, .name = n, .offset = offsetof(struct config_websocket, f)
#define ROUTE(n, f) .section = CONFIG_S_ROUTE, .name = n, .offset = offsetof(struct config_route, f)
#define BACKEND(n, f) \
	.section = CONFIG_S_BACKEND, .name = n, .offset = offsetof(struct config_backend, f)

#define KIB(n) ((uint64_t)(n) << 10)
#define MIB(n) ((uint64_t)(n) << 20)
#define GIB(n) ((uint64_t)(n) << 30)
#define SECONDS(n) ((uint64_t)(n)*1000)
#define HOURS(n) SECONDS((uint64_t)(n)*3600)
#define DAYS(n) HOURS((uint64_t)(n)*24)

/* The longest finite time: clocks plus this never overflow. */
#define YEAR DAYS(365)

#define TARGET_EXPECTED "stderr, syslog or the path of a file"
#define LISTEN_EXPECTED "HOST:PORT, [IPV6]:PORT, *:PORT, unix:PATH or systemd:NAME"

static const char *const level_words[] = { "error", "warn", "info", "debug", NULL };
static const char *const format_words[] = { "text", "json", NULL };
static const char *const tls_words[] = { "1.2", "1.3", NULL };
static const char *const client_cert_words[] = { "off", "optional", "required", NULL };
static const char *const require_origin_words[] = { "no", "yes", "with-cookie", NULL };
static const char *const rate_words[] = { "delay", "close", NULL };
static const char *const compression_words[] = { "off", "edge", "passthrough", NULL };
static const char *const action_words[] = { "echo", "forward", "proxy", "static", NULL };
static const char *const protocol_words[] = { "http", "stream", "lines", "packet", NULL };
static const char *const message_words[] = { "", "text", "binary", NULL };
static const char *const balance_words[] = { "least-connections", "round-robin", "source", NULL };
static const char *const proxy_words[] = { "off", "v1", "v2", NULL };
static const char *const forwarded_words[] = { "x-forwarded", "forwarded", "both", "off", NULL };

const struct config_key config_keys[] = {
	/* [server] */
	{ SERVER("Workers", workers), .type = CONFIG_T_AUTO, .min = 1, .max = 1024, .def = "auto",
	    .doc = "Worker threads. auto is one for each online CPU." },
	{ SERVER("User", user), .type = CONFIG_T_STRING, .def = "", .accept = config_accept_word,
	    .expected = "the name of a user", .doc = "Identity to take on when started as root." },
	{ SERVER("Group", group), .type = CONFIG_T_STRING, .def = "", .accept = config_accept_word,
	    .expected = "the name of a group",
	    .doc = "Group to take on when started as root; empty is the group of User." },
	{ SERVER("MaxConnections", max_connections), .type = CONFIG_T_AUTO, .min = 1,
	    .max = 10000000, .def = "auto",
	    .doc =
		"Client connections at once; past it new ones get 503. auto follows the limit on "
		"open files, which is raised to its hard limit at start." },
	{ SERVER("MaxConnectionsPerClient", max_connections_per_client), .type = CONFIG_T_UINT,
	    .max = 10000000, .def = "0",
	    .doc =
		"Connections at once from one client address (IPv6: one /64); past it new ones get 503; "
		"0 is no limit." },
	{ SERVER("HandshakeTimeout", handshake_timeout_ms), .type = CONFIG_T_TIME, .min = 1,
	    .max = HOURS(1), .def = "10s",
	    .doc = "PROXY header, TLS handshake and request head must be complete in this time; "
		   "then 408, or the connection is closed." },
	{ SERVER("DrainTimeout", drain_timeout_ms), .type = CONFIG_T_TIME, .max = DAYS(1),
	    .def = "30s",
	    .doc =
		"How long a drain may take. WebSocket closes (1001) are spread evenly over it, so "
		"that clients do not all come back at once; what is still open then is cut. "
		"0 closes all at once." },
	{ SERVER("LogLevel", log_level), .type = CONFIG_T_ENUM, .words = level_words, .def = "info",
	    .doc = "The least important messages that are still logged." },
	{ SERVER("LogTarget", log_target), .type = CONFIG_T_STRING, .accept = config_accept_target,
	    .expected = TARGET_EXPECTED, .def = "stderr",
	    .doc = "Where messages go: stderr, syslog or a file's path (with a slash in it). "
		   "A file is opened again on SIGUSR1." },
	{ SERVER("LogFormat", log_format), .type = CONFIG_T_ENUM, .words = format_words,
	    .def = "text", .doc = "The form of messages and of access lines." },
	{ SERVER("AccessLog", access_log), .type = CONFIG_T_STRING,
	    .accept = config_accept_target_off, .expected = "off, " TARGET_EXPECTED, .def = "off",
	    .doc = "Where one line for each request and each ended WebSocket goes: off, stderr, "
		   "syslog or a file's path." },
	{ SERVER("AdminAddress", admin_address), .type = CONFIG_T_STRING, .def = "",
	    .accept = config_accept_admin,
	    .expected = "unix:PATH, 127.0.0.1:PORT, [::1]:PORT or localhost:PORT",
	    .doc = "The admin endpoint: unix:PATH, such as unix:/run/wsrelayd/admin.sock, whose "
		   "socket has mode 0660 and the group of Group; or HOST:PORT with a loopback "
		   "address; empty is none. Who can connect may do everything there: see "
		   "wsrelayd(8) and wsrelayctl(8)." },
	{ SERVER("CompressionMemory", compression_memory), .type = CONFIG_T_SIZE, .min = MIB(1),
	    .max = GIB(1024), .def = "256M",
	    .doc =
		"zlib memory of all connections together, and what idle ones remember for context "
		"takeover. Past it new connections are offered no context takeover, and past twice "
		"that no compression." },

	/* [listen NAME] */
	{ LISTEN("Address", address), .type = CONFIG_T_ADDRS, .def = "", .required = true,
	    .accept = config_accept_listen, .expected = LISTEN_EXPECTED,
	    .example = "127.0.0.1:8080",
	    .doc = "One or more addresses to listen on: HOST:PORT, [IPV6]:PORT, *:PORT (all "
		   "addresses of both families), unix:PATH, or systemd:NAME, a socket passed in by "
		   "systemd under that name." },
	{ LISTEN("TLS", tls), .type = CONFIG_T_BOOL, .def = "no",
	    .doc = "Whether clients speak TLS here. Needs Certificate and CertificateKey." },
	{ LISTEN("Certificate", certificate), .type = CONFIG_T_LIST, .def = "",
	    .accept = config_accept_any, .expected = "the path of a PEM file",
	    .doc =
		"PEM files, each a certificate with its chain. Several are picked by the name "
		"that the client asks for (SNI); the first is the default. Read anew on reload." },
	{ LISTEN("CertificateKey", certificate_key), .type = CONFIG_T_LIST, .def = "",
	    .accept = config_accept_any, .expected = "the path of a PEM file",
	    .doc = "PEM files, the private key of each Certificate in the same order." },
	{ LISTEN("TLSMinVersion", tls_min_version), .type = CONFIG_T_ENUM, .words = tls_words,
	    .def = "1.2", .doc = "The oldest version of TLS that is spoken." },
	{ LISTEN("TLSCiphers", tls_ciphers), .type = CONFIG_T_JOINED, .def = "",
	    .accept = config_accept_any, .expected = "a cipher string of OpenSSL",
	    .doc = "OpenSSL's cipher strings for TLS 1.2 and its cipher suites for TLS 1.3, "
		   "separated by colons or white space; empty is OpenSSL's default." },
	{ LISTEN("ClientCertificate", client_certificate), .type = CONFIG_T_ENUM,
	    .words = client_cert_words, .def = "off",
	    .doc = "Whether clients are asked for a certificate, and whether they must have one; "
		   "with ClientCA." },
	{ LISTEN("ClientCA", client_ca), .type = CONFIG_T_STRING, .def = "",
	    .accept = config_accept_any, .expected = "the path of a PEM file",
	    .doc = "PEM file of the authorities that sign client certificates." },
	{ LISTEN("HTTP2", http2), .type = CONFIG_T_BOOL, .def = "yes",
	    .doc = "HTTP/2: by ALPN (h2) with TLS, by prior knowledge without." },
	{ LISTEN("ProxyProtocol", proxy_protocol), .type = CONFIG_T_BOOL, .def = "no",
	    .doc = "Whether each connection must begin with a PROXY header, version 1 or 2." },
	{ LISTEN("TrustedProxies", trusted_proxies), .type = CONFIG_T_CIDRS, .def = "",
	    .expected = "an address or a CIDR block such as 192.0.2.0/24",
	    .doc = "Addresses or CIDR blocks whose X-Forwarded-For, Forwarded or PROXY header is "
		   "believed." },
	{ LISTEN("MaxStreams", max_streams), .type = CONFIG_T_UINT, .min = 1, .max = 2147483647,
	    .def = "256", .doc = "HTTP/2 streams at once on one connection." },
	{ LISTEN("IdleConnectionTimeout", idle_connection_timeout_ms), .type = CONFIG_T_TIME,
	    .max = YEAR, .infinity = true, .zero_is_infinity = true, .def = "5min",
	    .doc = "An HTTP connection (either version) without a request or WebSocket ends after "
		   "this long; 0 or infinity is never." },
	{ LISTEN("ConnectionRate", connection_rate), .type = CONFIG_T_UINT, .max = 1000000,
	    .def = "0",
	    .doc =
		"New connections for each client address (IPv6: each /64) and second; past it 429 or "
		"a closed connection; 0 is no limit." },

	/* [route NAME] */
	{ ROUTE("Host", host), .type = CONFIG_T_HOST, .def = "", .accept = config_accept_host,
	    .expected = "a host name such as app.example.com, or *.example.com",
	    .doc =
		"The host that is asked for: app.example.com, or *.example.com for any name below "
		"a domain; empty is any." },
	{ ROUTE("Path", path), .type = CONFIG_T_PATH, .def = "", .required = true,
	    .accept = config_accept_path,
	    .expected = "a path such as /chat, or a prefix such as /app/*", .example = "/ws",
	    .doc =
		"The path that is asked for: exact (/chat) or a prefix (/app/*); the query is not "
		"matched. The most specific host wins, then an exact path, then the longest "
		"prefix; the order in the file does not matter." },
	{ ROUTE("Action", action), .type = CONFIG_T_ENUM, .words = action_words, .def = "",
	    .required = true, .example = "echo",
	    .doc =
		"What is done. echo: WebSocket only, the gateway echoes. forward: WebSocket only, "
		"frames go to Backend. proxy: ordinary HTTP requests and WebSockets go to an http "
		"Backend. static: files from DocumentRoot (GET, HEAD)." },
	{ ROUTE("Backend", backend_name), .type = CONFIG_T_STRING, .def = "",
	    .accept = config_accept_word, .expected = "the name of a [backend]",
	    .doc = "The name of the [backend] for forward and proxy." },
	{ ROUTE("DocumentRoot", document_root), .type = CONFIG_T_STRING, .def = "",
	    .accept = config_accept_any, .expected = "the path of a folder",
	    .doc = "Folder for static. The part of the path that the route's prefix matched is not "
		   "part of the file's name. When it, or a folder or link beneath it, is replaced, "
		   "what is there then is served within a second; a file that is changed or "
		   "replaced itself, at once." },

	/* [websocket], and [route NAME] */
	{ WEBSOCKET("AllowedOrigins", allowed_origins), .type = CONFIG_T_ORIGINS, .def = "",
	    .expected = "an origin such as https://app.example.com or https://*.example.com, "
			"null, or *",
	    .doc = "Origin values that may open a WebSocket: exact (https://app.example.com), with "
		   "any name below a domain (https://*.example.com), null, or * for all. Another "
		   "Origin gets 403; empty is no check." },
	{ WEBSOCKET("RequireOrigin", require_origin), .type = CONFIG_T_ENUM,
	    .words = require_origin_words, .def = "no",
	    .doc = "Whether a request without Origin is refused too (403) where AllowedOrigins is "
		   "set: no, yes, or with-cookie (only one that carries a Cookie: command-line "
		   "clients pass, a browser's session cannot be ridden)." },
	{ WEBSOCKET("KeepAliveInterval", keepalive_interval_ms), .type = CONFIG_T_TIME, .max = YEAR,
	    .infinity = true, .def = "2min",
	    .doc = "How often the client is sent a PONG, or after how much silence a PING: see "
		   "KeepAliveTimeout; 0 or infinity switches keep-alive off." },
	{ WEBSOCKET("KeepAliveTimeout", keepalive_timeout_ms), .type = CONFIG_T_TIME, .max = YEAR,
	    .infinity = true, .def = "infinity",
	    .doc =
		"With 0 or infinity an unsolicited PONG goes out every KeepAliveInterval. With a "
		"finite time a PING goes out after KeepAliveInterval of silence, and the "
		"connection is aborted when its PONG has not come in this time." },
	{ WEBSOCKET("IdleTimeout", idle_timeout_ms), .type = CONFIG_T_TIME, .max = YEAR,
	    .infinity = true, .zero_is_infinity = true, .def = "infinity",
	    .doc =
		"No data message in either direction for this long: Close 1001; 0 or infinity is "
		"never." },
	{ WEBSOCKET("MaxAge", max_age_ms), .type = CONFIG_T_TIME, .max = YEAR, .infinity = true,
	    .zero_is_infinity = true, .def = "infinity",
	    .doc = "The oldest that a WebSocket may get: Close 1001; 0 or infinity is no limit." },
	{ WEBSOCKET("MessageRate", message_rate), .type = CONFIG_T_UINT, .max = 1000000000,
	    .def = "0",
	    .doc =
		"Messages a second from the client of one WebSocket, PINGs and PONGs among them; a "
		"second's worth may come at once; 0 is no limit." },
	{ WEBSOCKET("ByteRate", byte_rate), .type = CONFIG_T_SIZE, .max = GIB(1024), .def = "0",
	    .doc =
		"Bytes a second from the client of one WebSocket, frame headers too, after decompression "
		"where Compression=edge; a second's worth may come at once; 0 is no limit." },
	{ WEBSOCKET("RateAction", rate_action), .type = CONFIG_T_ENUM, .words = rate_words,
	    .def = "delay",
	    .doc = "Past the rate: delay (the client is not read for a while) or close (1008)." },
	{ WEBSOCKET("CloseTimeout", close_timeout_ms), .type = CONFIG_T_TIME, .max = HOURS(1),
	    .def = "5s",
	    .doc =
		"How long the peer's Close is waited for before the connection is dropped. Over HTTP/1.1 "
		"a client that still has to read what came before the Close, and takes some of it each time, "
		"has at most five times as long in addition; over HTTP/2 once." },
	{ WEBSOCKET("MaxMessageSize", max_message_size), .type = CONFIG_T_SIZE, .max = GIB(1048576),
	    .def = "16M",
	    .doc = "A longer message (after decompression) gets Close 1009; 0 is no limit." },
	{ WEBSOCKET("BufferLimit", buffer_limit), .type = CONFIG_T_SIZE, .min = KIB(1),
	    .max = GIB(1), .def = "256K",
	    .doc = "Bytes held for a receiver that does not read; past it the sender is no longer "
		   "read." },
	{ WEBSOCKET("ValidateUTF8", validate_utf8), .type = CONFIG_T_BOOL, .def = "yes",
	    .doc = "Whether text messages that are not UTF-8 get Close 1007." },
	{ WEBSOCKET("Subprotocols", subprotocols), .type = CONFIG_T_LIST, .def = "",
	    .accept = config_accept_token, .expected = "a token (RFC 9110 5.6.2)", .unique = true,
	    .doc = "Subprotocols that the gateway itself offers (echo and raw backends), and the "
		   "filter on what is passed to an http backend; empty passes all." },
	{ WEBSOCKET("Compression", compression), .type = CONFIG_T_ENUM, .words = compression_words,
	    .def = "off",
	    .doc =
		"permessage-deflate: off (never negotiated, never passed on), edge (the gateway "
		"compresses and decompresses; the backend sees plain frames) or passthrough (the "
		"offer and the compressed frames go through to an http backend)." },
	{ WEBSOCKET("CompressionLevel", compression_level), .type = CONFIG_T_UINT, .min = 1,
	    .max = 9, .def = "1", .doc = "zlib's level: 1 is fastest, 9 is smallest." },
	{ WEBSOCKET("CompressionMinSize", compression_min_size), .type = CONFIG_T_SIZE,
	    .max = GIB(1), .def = "256", .doc = "Shorter messages are sent uncompressed." },
	{ WEBSOCKET("ServerMaxWindowBits", server_max_window_bits), .type = CONFIG_T_UINT, .min = 9,
	    .max = 15, .def = "15",
	    .doc = "The window that the gateway compresses with, as a power of two." },
	{ WEBSOCKET("ClientMaxWindowBits", client_max_window_bits), .type = CONFIG_T_UINT, .min = 9,
	    .max = 15, .def = "15",
	    .doc = "The window that clients may compress with, as a power of two; for clients that "
		   "offer to be told (client_max_window_bits)." },
	{ WEBSOCKET("ServerContextTakeover", server_context_takeover), .type = CONFIG_T_BOOL,
	    .def = "yes",
	    .doc = "Whether the gateway's compressor remembers earlier messages. no saves memory: "
		   "one shared compressor serves all connections of a worker." },
	{ WEBSOCKET("ClientContextTakeover", client_context_takeover), .type = CONFIG_T_BOOL,
	    .def = "yes", .doc = "Whether clients' compressors may remember earlier messages." },

	/* [backend NAME] */
	{ BACKEND("Address", address), .type = CONFIG_T_ADDRS, .def = "", .required = true,
	    .accept = config_accept_backend, .expected = "unix:PATH, unix:@NAME or HOST:PORT",
	    .example = "unix:/run/app/app.sock", .unique = true,
	    .doc = "Where the application listens: one or more of unix:PATH, unix:@NAME (abstract) "
		   "and HOST:PORT." },
	{ BACKEND("Protocol", protocol), .type = CONFIG_T_ENUM, .words = protocol_words,
	    .def = "http",
	    .doc =
		"http: HTTP/1.1 with WebSocket upgrade; the frames are forwarded. For applications "
		"that know nothing of WebSocket: stream (message payloads as a plain byte stream "
		"both ways), lines (a message is a line) or packet (a message is one "
		"SOCK_SEQPACKET packet)." },
	{ BACKEND("MessageType", message_type), .type = CONFIG_T_ENUM, .words = message_words,
	    .expected = "text or binary", .def = "",
	    .doc =
		"The type of the messages made from a raw backend's bytes: text or binary; empty "
		"is binary for stream and packet, text for lines." },
	{ BACKEND("Balance", balance), .type = CONFIG_T_ENUM, .words = balance_words,
	    .def = "least-connections",
	    .doc = "Which address gets a new connection; source goes by the client's address." },
	{ BACKEND("ConnectTimeout", connect_timeout_ms), .type = CONFIG_T_TIME, .min = 1,
	    .max = HOURS(1), .def = "5s",
	    .doc = "After this long the next address is tried; when none is left, 504 (502 if "
		   "refused)." },
	{ BACKEND("ResponseTimeout", response_timeout_ms), .type = CONFIG_T_TIME, .min = 1,
	    .max = YEAR, .infinity = true, .def = "60s",
	    .doc = "For the response head of an http backend; then 504." },
	{ BACKEND("KeepAliveInterval", keepalive_interval_ms), .type = CONFIG_T_TIME, .max = YEAR,
	    .infinity = true, .def = "0",
	    .doc = "Keep-alive toward an http backend's WebSocket, as in [websocket]." },
	{ BACKEND("KeepAliveTimeout", keepalive_timeout_ms), .type = CONFIG_T_TIME, .max = YEAR,
	    .infinity = true, .def = "infinity",
	    .doc = "Keep-alive toward an http backend's WebSocket, as in [websocket]." },
	{ BACKEND("HealthCheckInterval", health_check_interval_ms), .type = CONFIG_T_TIME,
	    .max = DAYS(1), .def = "0",
	    .doc = "How often each address is checked by connecting to it; 0 is off." },
	{ BACKEND("HealthCheckPath", health_check_path), .type = CONFIG_T_STRING, .def = "",
	    .accept = config_accept_slash, .expected = "a path that begins with /",
	    .doc = "The active check is a GET of this path; 2xx or 3xx is up." },
	{ BACKEND("MaxFails", max_fails), .type = CONFIG_T_UINT, .max = 1000000, .def = "3",
	    .doc =
		"After so many failures in a row an address rests for FailTimeout; 0 is never." },
	{ BACKEND("FailTimeout", fail_timeout_ms), .type = CONFIG_T_TIME, .min = 1, .max = DAYS(1),
	    .def = "10s", .doc = "How long an address rests after MaxFails failures." },
	{ BACKEND("MaxConnections", max_connections), .type = CONFIG_T_UINT, .max = 10000000,
	    .def = "0", .doc = "Connections at once to each address; 0 is no limit." },
	{ BACKEND("SendProxyProtocol", send_proxy_protocol), .type = CONFIG_T_ENUM,
	    .words = proxy_words, .def = "off",
	    .doc = "Whether a connection to the backend begins with a PROXY header; not with "
		   "Protocol=packet." },
	{ BACKEND("ForwardedHeaders", forwarded_headers), .type = CONFIG_T_ENUM,
	    .words = forwarded_words, .def = "x-forwarded",
	    .doc =
		"How the backend learns who the client is: x-forwarded (X-Forwarded-For, -Proto, "
		"-Host, X-Real-IP), forwarded (RFC 7239), both, off; what an untrusted client sent "
		"of these is removed." },
};

const size_t config_keys_n = sizeof(config_keys) / sizeof(config_keys[0]);
