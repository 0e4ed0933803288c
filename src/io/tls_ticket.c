/*
 * The keys that session tickets are sealed with (RFC 5077, RFC 8446 4.6.1).
 *
 * OpenSSL's own ticket key lives as long as its SSL_CTX: over a reload every
 * ticket would be lost, and without one a key would be used for months, which
 * undoes forward secrecy.  So the keys hang on a struct of their own, which a
 * new tls_ctx can share with the one before it (tls_ctx_inherit), and a key
 * seals for TLS_TICKET_LIFE_MS and opens for as long again: a ticket is good
 * for at least that long, a key is in memory for at most twice that (in a
 * daemon that has handshakes; rotation happens when a ticket is sealed).
 *
 * Any thread: all workers share the keys.  The lock is held while a key is
 * copied, once or twice for each handshake.
 */
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/rand.h>

#include <pthread.h>
#include <stdint.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "io/tls_int.h"

#define TLS_TICKET_LIFE_MS (2 * 60 * 60 * UINT64_C(1000))
#define TLS_TICKET_NAME_BYTES 16 /* fixed by OpenSSL */
#define TLS_TICKET_KEYS 2	 /* the one that seals, and the one before it */

struct tls_ticket_key {
	unsigned char name[TLS_TICKET_NAME_BYTES];
	unsigned char aes[32];
	unsigned char hmac[32];
};

struct tls_tickets {
	_Atomic unsigned refs;
	pthread_mutex_t lock;
	struct tls_ticket_key key[TLS_TICKET_KEYS]; /* [0] seals; under lock */
	size_t n_keys;
	uint64_t rotated_ms;
	EVP_CIPHER *cipher; /* owned; fetched once, a fetch for each ticket costs */
};

static int
tls_tickets_rotate_locked(struct tls_tickets *k)
{
	struct tls_ticket_key fresh;

	if (RAND_bytes(fresh.name, sizeof(fresh.name)) != 1 ||
	    RAND_priv_bytes(fresh.aes, sizeof(fresh.aes)) != 1 ||
	    RAND_priv_bytes(fresh.hmac, sizeof(fresh.hmac)) != 1)
		return -1;
	k->key[1] = k->key[0];
	k->key[0] = fresh;
	OPENSSL_cleanse(&fresh, sizeof(fresh));
	if (k->n_keys < TLS_TICKET_KEYS)
		k->n_keys++;
	k->rotated_ms = clock_mono_ms();
	return 0;
}

struct tls_tickets *
tls_tickets_new(void)
{
	struct tls_tickets *k = mem_zalloc(sizeof(*k));

	if (k == NULL)
		return NULL;
	if (pthread_mutex_init(&k->lock, NULL) != 0) {
		mem_free(k);
		return NULL;
	}
	atomic_init(&k->refs, 1);
	k->cipher = EVP_CIPHER_fetch(NULL, "AES-256-CBC", NULL);
	if (k->cipher == NULL || tls_tickets_rotate_locked(k) != 0) {
		tls_tickets_unref(k);
		return NULL;
	}
	return k;
}

struct tls_tickets *
tls_tickets_ref(struct tls_tickets *k)
{
	atomic_fetch_add_explicit(&k->refs, 1, memory_order_relaxed);
	return k;
}

void
tls_tickets_unref(struct tls_tickets *k)
{
	if (k == NULL || atomic_fetch_sub_explicit(&k->refs, 1, memory_order_acq_rel) != 1)
		return;
	pthread_mutex_destroy(&k->lock);
	EVP_CIPHER_free(k->cipher);
	OPENSSL_cleanse(k->key, sizeof(k->key));
	mem_free(k);
}

int
tls_tickets_rotate(struct tls_tickets *k)
{
	int r;

	pthread_mutex_lock(&k->lock);
	r = tls_tickets_rotate_locked(k);
	pthread_mutex_unlock(&k->lock);
	return r;
}

/* The key to seal with; a failed rotation goes on with the old one. */
static void
tls_tickets_current(struct tls_tickets *k, struct tls_ticket_key *out)
{
	pthread_mutex_lock(&k->lock);
	if (clock_mono_ms() - k->rotated_ms >= TLS_TICKET_LIFE_MS)
		(void)tls_tickets_rotate_locked(k);
	*out = k->key[0];
	pthread_mutex_unlock(&k->lock);
}

/* The key of that name: its age (0 is the one that seals), or -1. */
static int
tls_tickets_find(struct tls_tickets *k, const unsigned char *name, struct tls_ticket_key *out)
{
	int found = -1;

	pthread_mutex_lock(&k->lock);
	for (size_t i = 0; i < k->n_keys && found < 0; i++) {
		if (memcmp(k->key[i].name, name, TLS_TICKET_NAME_BYTES) != 0)
			continue;
		*out = k->key[i];
		found = (int)i;
	}
	pthread_mutex_unlock(&k->lock);
	return found;
}

static int
tls_tickets_init_mac(EVP_MAC_CTX *mac, struct tls_ticket_key *key)
{
	char digest[] = "SHA256";
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, key->hmac, sizeof(key->hmac)),
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
		OSSL_PARAM_construct_end(),
	};

	return EVP_MAC_CTX_set_params(mac, params);
}

int
tls_tickets_cb(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
    EVP_MAC_CTX *mac, int seal)
{
	struct tls_ctx *c = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
	struct tls_tickets *k = c->tickets;
	struct tls_ticket_key key;
	int age = 0, r;

	if (seal) {
		tls_tickets_current(k, &key);
		memcpy(name, key.name, sizeof(key.name));
		if (RAND_bytes(iv, EVP_CIPHER_get_iv_length(k->cipher)) != 1)
			return -1;
		r = EVP_EncryptInit_ex(cipher, k->cipher, NULL, key.aes, iv);
	} else {
		age = tls_tickets_find(k, name, &key);
		if (age < 0)
			return 0; /* not ours, or too old: a full handshake */
		r = EVP_DecryptInit_ex(cipher, k->cipher, NULL, key.aes, iv);
	}
	if (r == 1)
		r = tls_tickets_init_mac(mac, &key);
	OPENSSL_cleanse(&key, sizeof(key));
	if (r != 1)
		return -1;
	if (seal)
		return 1;
	/*
	 * 2 asks for a new ticket.  TLS 1.3 clients use a ticket only once, so
	 * that they cannot be tracked by it (RFC 8446 C.4).
	 */
	return age > 0 || SSL_version(ssl) >= TLS1_3_VERSION ? 2 : 1;
}
