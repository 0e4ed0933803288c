/* Unit tests of src/config/check*.c: what needs more than one key. */
#include "unit_config.h"

START_TEST(check_tls_keys)
{
	static const struct unit_config_row rows[] = {
		{ "[listen a]\nAddress=*:0\nTLS=yes\n",
		    "F:3: [listen a] TLS=yes: Certificate is missing; expected one or more PEM "
		    "files there\n"
		    "F:3: [listen a] TLS=yes: CertificateKey is missing; expected one PEM file for "
		    "each Certificate there\n" },
		{ "[listen a]\nAddress=*:0\nTLS=yes\nCertificate=/a /b\nCertificateKey=/a\n",
		    "F:5: [listen a] CertificateKey: 1 files for 2 of Certificate; expected as many "
		    "of each, in the same order\n" },
		{ "[listen a]\nAddress=*:0\nCertificate=/a\nCertificateKey=/a\nTLSMinVersion=1.3\n"
		  "TLSCiphers=x\nClientCertificate=required\nClientCA=/b\n",
		    "F:3: [listen a] Certificate=/a: it has no effect without TLS; expected "
		    "TLS=yes, or this key left out\n"
		    "F:4: [listen a] CertificateKey=/a: it has no effect without TLS; expected "
		    "TLS=yes, or this key left out\n"
		    "F:5: [listen a] TLSMinVersion=1.3: it has no effect without TLS; expected "
		    "TLS=yes, or this key left out\n"
		    "F:6: [listen a] TLSCiphers=x: it has no effect without TLS; expected TLS=yes, "
		    "or this key left out\n"
		    "F:7: [listen a] ClientCertificate=required: it has no effect without TLS; "
		    "expected TLS=yes, or this key left out\n"
		    "F:8: [listen a] ClientCA=/b: it has no effect without TLS; expected TLS=yes, "
		    "or this key left out\n" },
		{ "[listen a]\nAddress=*:0\nTLS=no\nCertificate=\nTLSMinVersion=1.2\n"
		  "ClientCertificate=OFF\nClientCA=\n",
		    "" },
		{ "[listen a]\nAddress=*:0\nTLS=yes\nCertificate=/a\nCertificateKey=/a\n"
		  "ClientCertificate=optional\n",
		    "F:6: [listen a] ClientCertificate=optional: ClientCA is missing; expected the "
		    "path of a PEM file there\n" },
		{ "[listen a]\nAddress=*:0\nTLS=yes\nCertificate=/a\nCertificateKey=/a\n"
		  "ClientCA=/ca\n",
		    "F:6: [listen a] ClientCA=/ca: it has no effect with ClientCertificate=off; "
		    "expected optional or required there\n" },
		{ "[listen a]\nAddress=*:0\nTLS=yes\nCertificat=/a\nCertificateKey=/a\n",
		    "F:4: [listen a] Certificat: unknown key; did you mean Certificate?\n" },
		{ "[listen a]\nAddress=*:0\nTLS=maybe\nCertificate=/a\nCertificateKey=/a\n",
		    "F:3: [listen a] TLS=maybe: expected yes or no\n" },
	};

	unit_config_expect(rows, UNIT_COUNT(rows), UNIT_CONFIG_REST);
}
END_TEST

START_TEST(check_no_address_twice)
{
	static const struct unit_config_row rows[] = {
		{ "[listen a]\nAddress=127.0.0.1:80 127.0.0.1:80\n",
		    "F:2: [listen a] Address=127.0.0.1:80: [listen a] has this address already "
		    "(F:2); expected each once\n" },
		{ "[listen a]\nAddress=*:80\n  [::1]:81\n[listen b]\nAddress=[0::1]:81\n"
		  "Address=*:80\n",
		    "F:5: [listen b] Address=[0::1]:81: [listen a] has this address already (F:3); "
		    "expected each once\n"
		    "F:6: [listen b] Address=*:80: [listen a] has this address already (F:2); "
		    "expected each once\n" },
		{ "[listen a]\nAddress=unix:/s\n[listen b]\nAddress=unix:/s\n",
		    "F:4: [listen b] Address=unix:/s: [listen a] has this address already (F:2); "
		    "expected each once\n" },
		{ "[listen a]\nAddress=systemd:s localhost:80\n[listen b]\nAddress=systemd:s "
		  "LOCALHOST:80\n",
		    "F:4: [listen b] Address=systemd:s: [listen a] has this address already (F:2); "
		    "expected each once\n"
		    "F:4: [listen b] Address=LOCALHOST:80: [listen a] has this address already "
		    "(F:2); expected each once\n" },
		{ "[listen a]\nAddress=127.0.0.1:0 127.0.0.1:0 *:0 *:0\n", "" },
	};

	unit_config_expect(rows, UNIT_COUNT(rows), UNIT_CONFIG_REST);
}
END_TEST

START_TEST(check_admin_endpoint_has_an_address_of_its_own)
{
	static const struct unit_config_row rows[] = {
		{ "[server]\nAdminAddress=unix:/a\n[listen a]\nAddress=127.0.0.1:0 unix:/a\n",
		    "F:2: [server] AdminAddress=unix:/a: [listen a] has this address (F:3); expected "
		    "one of its own\n" },
		{ "[server]\nAdminAddress=127.0.0.1:80\n[listen a]\nAddress=127.0.0.1:80\n",
		    "F:2: [server] AdminAddress=127.0.0.1:80: [listen a] has this address (F:3); "
		    "expected one of its own\n" },
		{ "[server]\nAdminAddress=127.0.0.1:0\n[listen a]\nAddress=127.0.0.1:0\n", "" },
		{ "[server]\nAdminAddress=unix:/a\n[listen a]\nAddress=unix:/b\n", "" },
	};

	unit_config_expect(rows, UNIT_COUNT(rows), UNIT_CONFIG_REST);
}
END_TEST

START_TEST(check_backend_of_a_route)
{
	static const struct unit_config_row rows[] = {
		{ "[route a]\nPath=/\nAction=forward\n",
		    "F:3: [route a] Action=forward: Backend is missing; expected the name of a "
		    "[backend] there\n" },
		{ "[route a]\nPath=/\nAction=forward\nBackend=\n",
		    "F:3: [route a] Action=forward: Backend is missing; expected the name of a "
		    "[backend] there\n" },
		{ "[route a]\nPath=/\nAction=forward\nBackend=app\n",
		    "F:4: [route a] Backend=app: there is no [backend app]; expected that "
		    "section\n" },
		{ "[route a]\nPath=/\nAction=forward\nBackend=ap\n[backend app]\nAddress=unix:/a\n"
		  "[backend other]\nAddress=unix:/a\n[route b]\nPath=/b\nAction=forward\n"
		  "Backend=other\n",
		    "F:4: [route a] Backend=ap: there is no [backend ap]; did you mean app?\n"
		    "warning: F:5: [backend app] is used by no route\n" },
		/* its head is the error */
		{ "[route a]\nPath=/\nAction=forward\nBackend=app\n[backend app\nAddress=unix:/a\n",
		    "F:5: [backend app: the ] is missing; expected [server], [listen NAME], "
		    "[websocket], [route NAME] or [backend NAME]\n" },
		{ "[route a]\nPath=/\nAction=echo\nBackend=app\n[backend app]\nAddress=unix:/a\n",
		    "F:4: [route a] Backend=app: Action=echo does not use it; expected this key left "
		    "out\n" },
		{ "[backend app]\nAddress=unix:/a\n",
		    "warning: F:1: [backend app] is used by no route\n" },
	};

	unit_config_expect(rows, UNIT_COUNT(rows), UNIT_CONFIG_REST);
}
END_TEST

START_TEST(check_document_root)
{
	static const struct unit_config_row rows[] = {
		{ "[route a]\nPath=/*\nAction=static\n",
		    "F:3: [route a] Action=static: DocumentRoot is missing; expected the path of a "
		    "folder there\n" },
		{ "[route a]\nPath=/*\nAction=static\nDocumentRoot=/nonexistent/x\n",
		    "F:4: [route a] DocumentRoot=/nonexistent/x: No such file or directory; expected "
		    "a folder that can be read\n" },
		{ "[route a]\nPath=/*\nAction=static\nDocumentRoot=/etc/passwd\n",
		    "F:4: [route a] DocumentRoot=/etc/passwd: Not a directory; expected a folder "
		    "that can be read\n" },
		{ "[route a]\nPath=/*\nAction=echo\nDocumentRoot=/tmp\n",
		    "F:4: [route a] DocumentRoot=/tmp: Action=echo does not use it; expected this "
		    "key left out\n" },
	};

	unit_config_expect(rows, UNIT_COUNT(rows), UNIT_CONFIG_REST);
}
END_TEST

START_TEST(check_no_two_routes_alike)
{
	static const struct unit_config_row rows[] = {
		{ "[route a]\nPath=/x\nAction=echo\n[route b]\nAction=echo\nPath=/x\n",
		    "F:6: [route b] Path=/x: [route a] matches the same requests (F:2); expected "
		    "another Host or Path\n" },
		{ "[route a]\nHost=*.X.org\nPath=/x/*\nAction=echo\n"
		  "[route b]\nHost=*.x.ORG\nPath=/x/*\nAction=echo\n",
		    "F:7: [route b] Path=/x/*: [route a] matches the same requests (F:3); expected "
		    "another Host or Path\n" },
		{ "[route a]\nPath=/x/\nAction=echo\n[route b]\nPath=/x/*\nAction=echo\n"
		  "[route c]\nHost=x\nPath=/x/\nAction=echo\n[route d]\nPath=/X/\nAction=echo\n",
		    "" },
	};

	unit_config_expect(rows, UNIT_COUNT(rows), UNIT_CONFIG_REST);
}
END_TEST

START_TEST(check_passthrough_needs_an_http_backend)
{
	static const struct unit_config_row rows[] = {
		{ "[websocket]\nCompression=passthrough\n[route a]\nPath=/\nAction=forward\n"
		  "Backend=b\n[backend b]\nAddress=unix:/a\n"
		  "[route s]\nPath=/s\nAction=static\nDocumentRoot=/\n"
		  "[route rest]\nCompression=off\n",
		    "" },
		{ "[websocket]\nCompression=passthrough\n[route a]\nPath=/\nAction=echo\n"
		  "[route b]\nPath=/b\nAction=forward\nBackend=b\n"
		  "[route c]\nPath=/c\nAction=echo\nCompression=edge\n"
		  "[backend b]\nAddress=unix:/a\nProtocol=lines\n"
		  "[route rest]\nCompression=off\n",
		    "F:5: [route a] Compression=passthrough (from [websocket]): there is no http "
		    "backend to compress; expected off or edge\n"
		    "F:8: [route b] Compression=passthrough (from [websocket]): there is no http "
		    "backend to compress; expected off or edge\n" },
		{ "[route a]\nPath=/\nAction=static\nDocumentRoot=/\nCompression=passthrough\n",
		    "F:5: [route a] Compression=passthrough: there is no http backend to compress; "
		    "expected off or edge\n" },
	};

	unit_config_expect(rows, UNIT_COUNT(rows), UNIT_CONFIG_REST);
}
END_TEST

START_TEST(check_kinds_of_backends)
{
	static const struct unit_config_row rows[] = {
		{ "[route a]\nPath=/\nAction=proxy\nBackend=b\n[backend b]\nAddress=unix:/a\n"
		  "Protocol=stream\nKeepAliveInterval=1\n",
		    "F:3: [route a] Action=proxy: [backend b] does not speak http; expected a "
		    "backend with Protocol=http, or Action=forward\n"
		    "warning: F:8: [backend b] KeepAliveInterval has no effect: there is no "
		    "WebSocket to this backend\n" },
		{ "[route a]\nPath=/\nAction=forward\nBackend=b\nCompression=passthrough\n"
		  "[backend b]\nAddress=a:1\nProtocol=packet\n",
		    "F:5: [route a] Compression=passthrough: there is no http backend to compress; "
		    "expected off or edge\n"
		    "F:7: [backend b] Address: packets need a Unix socket; expected unix:PATH or "
		    "unix:@NAME with Protocol=packet\n" },
		{ "[route a]\nPath=/\nAction=forward\nBackend=b\n[backend b]\nAddress=a:1\n"
		  "MessageType=text\n",
		    "F:7: [backend b] MessageType: an http backend makes its own messages; expected "
		    "this key left out, or another Protocol\n" },
		{ "[route a]\nPath=/\nAction=forward\nBackend=b\n[backend b]\nAddress=a:1\n"
		  "Protocol=lines\nMessageType=binary\n",
		    "" },
		{ "[route a]\nPath=/\nAction=forward\nBackend=b\n[backend b]\nAddress=unix:@a\n"
		  "Protocol=packet\nMessageType=text\n",
		    "" },
	};

	unit_config_expect(rows, UNIT_COUNT(rows), UNIT_CONFIG_REST);
}
END_TEST

START_TEST(check_health_and_addresses)
{
	static const struct unit_config_row rows[] = {
		{ "[route a]\nPath=/\nAction=forward\nBackend=b\n[backend b]\nAddress=unix:/a\n"
		  "Protocol=lines\nHealthCheckInterval=1\nHealthCheckPath=/up\n",
		    "F:9: [backend b] HealthCheckPath: only an http backend answers a GET; expected "
		    "this key left out\n" },
		{ "[route a]\nPath=/\nAction=forward\nBackend=b\n[backend b]\nAddress=unix:/a\n"
		  "HealthCheckPath=/up\n",
		    "warning: F:7: [backend b] HealthCheckPath has no effect: HealthCheckInterval "
		    "is 0\n" },
		{ "[route a]\nPath=/\nAction=forward\nBackend=b\n[backend b]\nAddress=unix:/a\n"
		  "Protocol=packet\nSendProxyProtocol=v1\n",
		    "F:8: [backend b] SendProxyProtocol: Protocol=packet has no bytes to put it in "
		    "front of; expected off\n" },
		{ "[route a]\nPath=/\nAction=forward\nBackend=b\n[backend b]\n"
		  "Address=unix:/a a:1\nAddress=a:1\n",
		    "F:7: [backend b] Address=a:1: it is in the list already; expected each "
		    "once\n" },
	};

	unit_config_expect(rows, UNIT_COUNT(rows), UNIT_CONFIG_REST);
}
END_TEST

START_TEST(check_counts_addresses)
{
	struct unit_config u;
	struct buf text;

	unit_config_init(&u);
	for (int n = 256; n < 258; n++) {
		buf_init(&text, 1 << 20);
		buf_printf(&text, "[route a]\nPath=/\nAction=forward\nBackend=b\n[backend b]\n");
		for (int i = 0; i < n; i++)
			buf_printf(&text, "Address=a:%d\n", i + 1);
		buf_printf(&text, UNIT_CONFIG_REST);
		unit_config_write(u.path, buf_span(&text));
		buf_clear(&text);
		unit_config_load(&u, NULL, 0);
		ck_assert_str_eq(unit_config_log(&u),
		    n == 256 ? ""
			     : "F:262: [backend b] Address: there are 257; expected at most 256\n");
		unit_config_drop(&u);
	}
	unit_config_clear(&u);
}
END_TEST

START_TEST(check_warns_of_what_has_no_effect)
{
	static const struct unit_config_row rows[] = {
		{ "[websocket]\nKeepAliveInterval=0\nKeepAliveTimeout=5\n[route a]\nPath=/\n"
		  "Action=echo\n",
		    "warning: F:3: [websocket] KeepAliveTimeout has no effect: KeepAliveInterval is "
		    "0 or infinity, which switches keep-alive off\n" },
		{ "[websocket]\nKeepAliveTimeout=5\n[route a]\nPath=/\nAction=echo\n"
		  "KeepAliveInterval=infinity\n",
		    "warning: F:6: [route a] KeepAliveTimeout has no effect: KeepAliveInterval is 0 "
		    "or infinity, which switches keep-alive off\n" },
		{ "[websocket]\nKeepAliveInterval=0\nKeepAliveTimeout=infinity\n", "" },
		{ "[route a]\nPath=/\nAction=forward\nBackend=b\n[backend b]\nAddress=unix:/a\n"
		  "KeepAliveTimeout=1\n",
		    "warning: F:7: [backend b] KeepAliveTimeout has no effect: KeepAliveInterval is "
		    "0 or infinity, which switches keep-alive off\n" },
		{ "[route a]\nPath=/\nAction=echo\nRequireOrigin=yes\n",
		    "warning: F:4: [route a] RequireOrigin has no effect: AllowedOrigins is not set, "
		    "so every origin is allowed\n" },
		{ "[route a]\nPath=/\nAction=echo\nRequireOrigin=yes\nAllowedOrigins=*\n", "" },
		{ "[route a]\nPath=/\nAction=echo\nRateAction=close\n",
		    "warning: F:4: [route a] RateAction has no effect: neither MessageRate nor ByteRate "
		    "is set\n" },
		{ "[websocket]\nMessageRate=5\n[route a]\nPath=/\nAction=echo\nRateAction=close\n",
		    "" },
		{ "[websocket]\nRateAction=close\n[route a]\nPath=/\nAction=echo\nByteRate=1K\n",
		    "" },
		{ "[websocket]\nAllowedOrigins=wss://a.example\n  https://a.example WS://b.example\n",
		    "warning: F:2: [websocket] AllowedOrigins=wss://a.example: browsers send the "
		    "origin of the page, which begins with http:// or https://\n"
		    "warning: F:3: [websocket] AllowedOrigins=WS://b.example: browsers send the "
		    "origin of the page, which begins with http:// or https://\n" },
	};

	unit_config_expect(rows, UNIT_COUNT(rows), UNIT_CONFIG_REST);
}
END_TEST

/* For checks of higher layers: the item's own line, the key's, the section's; --set has none. */
START_TEST(check_where_a_value_stands)
{
	static const struct config_set set = { "server.Group=g" };
	const struct config_tsection *s;
	struct unit_config u;
	char text[512], small[4];

	unit_config_init(&u);
	unit_config_write(u.path,
	    SPAN_LIT("[listen a]\nAddress=*:1\nAddress=*:2\n  *:3\n[server]\nUser=x\n"
		     "[route r]\nPath=/\nAction=echo\n"));
	unit_config_load(&u, &set, 1);
	ck_assert_ptr_nonnull(u.c);
	s = u.c->listen[0].section;
	config_where(text, sizeof(text), s, "Address", "*:3");
	ck_assert_ptr_nonnull(strstr(text, ":4: "));
	config_where(text, sizeof(text), s, "Address", "*:1");
	ck_assert_ptr_nonnull(strstr(text, ":2: "));
	config_where(text, sizeof(text), s, "Address", NULL);
	ck_assert_ptr_nonnull(strstr(text, ":4: "));
	config_where(text, sizeof(text), s, "TLS", "yes");
	ck_assert_ptr_nonnull(strstr(text, ":1: "));
	s = u.c->server.section;
	ck_assert_uint_eq(config_where(text, sizeof(text), s, "Group", "g"), 7);
	ck_assert_str_eq(text, "--set: ");
	ck_assert_uint_eq(config_where(small, sizeof(small), s, "User", "x"), 3);
	ck_assert_uint_eq(strlen(small), 3);
	ck_assert_uint_eq(config_where(text, sizeof(text), NULL, "User", "x"), 0);
	ck_assert_str_eq(text, "");
	unit_config_clear(&u);
}
END_TEST

int
main(void)
{
	const TTest *const cases[] = {
		check_tls_keys,
		check_no_address_twice,
		check_admin_endpoint_has_an_address_of_its_own,
		check_backend_of_a_route,
		check_document_root,
		check_no_two_routes_alike,
		check_passthrough_needs_an_http_backend,
		check_kinds_of_backends,
		check_health_and_addresses,
		check_counts_addresses,
		check_warns_of_what_has_no_effect,
		check_where_a_value_stands,
	};

	return unit_run("check", cases, UNIT_COUNT(cases));
}
