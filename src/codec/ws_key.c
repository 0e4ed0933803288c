/*
 * Sec-WebSocket-Key and -Accept (RFC 6455 4.1, 4.2.2) with OpenSSL's SHA-1,
 * base64 and random numbers.  No state; any thread.
 */
#include "codec/ws_key.h"

#include <openssl/evp.h>
#include <openssl/rand.h>
#include <string.h>

#define KEY_BYTES 16
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

int
ws_key_accept(struct span key, char out[WS_ACCEPT_N + 1])
{
	unsigned char hash[EVP_MAX_MD_SIZE];
	unsigned n = 0;
	int rc = -1;
	EVP_MD_CTX *ctx;

	out[0] = '\0';
	if ((ctx = EVP_MD_CTX_new()) == NULL)
		return -1;
	/* RFC 6455 4.2.2: base64 of the SHA-1 of the key and the GUID. */
	if (EVP_DigestInit_ex(ctx, EVP_sha1(), NULL) == 1 &&
	    EVP_DigestUpdate(ctx, key.p, key.n) == 1 &&
	    EVP_DigestUpdate(ctx, key_guid, sizeof(key_guid) - 1) == 1 &&
	    EVP_DigestFinal_ex(ctx, hash, &n) == 1 && n == ACCEPT_BYTES &&
	    EVP_EncodeBlock((unsigned char *)out, hash, ACCEPT_BYTES) == WS_ACCEPT_N)
		rc = 0;
	EVP_MD_CTX_free(ctx);
	return rc;
}

int
ws_key_make(char out[WS_KEY_N + 1])
{
	unsigned char nonce[KEY_BYTES];

	out[0] = '\0';
	if (RAND_bytes(nonce, sizeof(nonce)) != 1) /* RFC 6455 4.1: selected randomly */
		return -1;
	return EVP_EncodeBlock((unsigned char *)out, nonce, KEY_BYTES) == WS_KEY_N ? 0 : -1;
}
