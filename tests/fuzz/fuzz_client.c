/*
 * The client behind proxies: the fields of others.  Oracle: the answer is either the peer itself
 * or an address that stands in the field, and never changes when text is put in front of an
 * untrusted hop.
 */
#include <arpa/inet.h>
#include <netinet/in.h>

#include <stdlib.h>
#include <string.h>

#include "policy/client.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct addr_cidr trusted;
	struct config_listen l = { .trusted_proxies = &trusted, .n_trusted_proxies = 1 };
	struct http_head *h = calloc(1, sizeof(*h));
	struct sockaddr_in peer = { .sin_family = AF_INET };
	struct sockaddr_storage one, two;
	char *text = malloc(size + 16);

	addr_cidr_parse(SPAN_LIT("10.0.0.0/8"), &trusted);
	inet_pton(AF_INET, "10.0.0.1", &peer.sin_addr);
	h->n_fields = 1;
	h->field[0].name = size % 2 ? SPAN_LIT("X-Forwarded-For") : SPAN_LIT("Forwarded");
	h->field[0].value = (struct span){ (const char *)data, size };
	client_find(&l, (const struct sockaddr *)&peer, h, &one);
	if (size % 2 && one.ss_family != AF_UNSPEC &&
	    !client_is_trusted(&l, (const struct sockaddr *)&one)) {
		memcpy(text, "6.6.6.6, ", 9);
		memcpy(text + 9, data, size);
		h->field[0].value = (struct span){ text, size + 9 };
		client_find(&l, (const struct sockaddr *)&peer, h, &two);
		/*
		 * A quote in front may join what stood apart; without one nothing in front
		 * matters.
		 */
		if (memchr(data, '"', size) == NULL && memcmp(&one, &two, sizeof(one)) != 0)
			abort();
	}
	free(text);
	free(h);
	return 0;
}
