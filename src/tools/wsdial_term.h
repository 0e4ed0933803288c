/*
 * The terminal at which a person types messages.  The line that is being typed is kept here and
 * not in the kernel, with the terminal's own editing characters (wsdial_line.h), so that a message
 * that comes does not tear it: it is hidden, and shown again below the message.
 *
 * There is one at most; it changes the terminal's settings until wsdial_term_free.
 */
#ifndef TOOLS_WSDIAL_TERM_H
#define TOOLS_WSDIAL_TERM_H

#include <stddef.h>
#include <stdint.h>

struct wsdial_term;

/* A whole line without its end; or, with p NULL, the end of the input. */
typedef void wsdial_term_fn(void *arg, const char *p, size_t n);

/*
 * Take the terminal over.  NULL where there is none to take: standard input or output is no
 * terminal, or one that cannot move its cursor; or without memory.
 */
struct wsdial_term *wsdial_term_new(size_t max_line, wsdial_term_fn *fn, void *arg);
void wsdial_term_free(struct wsdial_term *t); /* as it was before; NULL is nothing */

/* Bytes that were read of the standard input.  fn may call hide and show, and not free. */
void wsdial_term_feed(struct wsdial_term *t, const uint8_t *p, size_t n);

/* Around each other output. */
void wsdial_term_hide(struct wsdial_term *t);
void wsdial_term_show(struct wsdial_term *t);

/* Stop the process as the terminal's suspend character asks for, and go on when it is continued. */
void wsdial_term_suspend(struct wsdial_term *t);

#endif
