/*
 * Sec-WebSocket-Key and -Accept (RFC 6455 4.1, 4.2.2) with OpenSSL's SHA-1 and base64.  Any
 * thread.  No state but OpenSSL's SHA-1 itself, which is looked for once: that takes longer than
 * to use it.
 */
#include "codec/ws_key.h"

#include <openssl/evp.h>
#include <pthread.h>
#include <string.h>

#define ACCEPT_BYTES 20 /* SHA-1 */

static const char key_guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"; /* RFC 6455 1.3 */

static bool
key_is_base64(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
	    c == '+' || c == '/';
}

bool
ws_key_valid(struct span key)
{
	if (key.n != WS_KEY_N || key.p[22] != '=' || key.p[23] != '=')
		return false; /* decodes to 16 bytes (RFC 6455 4.2.1) */
	for (size_t i = 0; i < 22; i++)
		if (!key_is_base64(key.p[i]))
			return false;
	/* Four bits of the last character are padding and zero (RFC 4648 3.5). */
	return memchr("AQgw", key.p[21], 4) != NULL;
}

static EVP_MD *key_sha1; /* NULL: OpenSSL has none */

static void
key_find_sha1(void)
{
	key_sha1 = EVP_MD_fetch(NULL, "SHA1", NULL);
}

int
ws_key_accept(struct span key, char out[WS_ACCEPT_N + 1])
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	unsigned char hash[EVP_MAX_MD_SIZE];
	unsigned n = 0;
	int rc = -1;
	EVP_MD_CTX *ctx;

	out[0] = '\0';
	pthread_once(&once, key_find_sha1);
	if (key_sha1 == NULL || (ctx = EVP_MD_CTX_new()) == NULL)
		return -1;
	/* RFC 6455 4.2.2: base64 of the SHA-1 of the key and the GUID. */
	if (EVP_DigestInit_ex2(ctx, key_sha1, NULL) == 1 &&
	    EVP_DigestUpdate(ctx, key.p, key.n) == 1 &&
	    EVP_DigestUpdate(ctx, key_guid, sizeof(key_guid) - 1) == 1 &&
	    EVP_DigestFinal_ex(ctx, hash, &n) == 1 && n == ACCEPT_BYTES &&
	    EVP_EncodeBlock((unsigned char *)out, hash, ACCEPT_BYTES) == WS_ACCEPT_N)
		rc = 0;
	EVP_MD_CTX_free(ctx);
	return rc;
}

void
ws_key_make(const uint8_t nonce[WS_NONCE_N], char out[WS_KEY_N + 1])
{
	EVP_EncodeBlock((unsigned char *)out, nonce, WS_NONCE_N);
}
