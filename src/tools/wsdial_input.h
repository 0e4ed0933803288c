/*
 * Lines from the standard input: a terminal, a pipe, a socket or a file.  Read as they come, and
 * only while they are wanted.
 */
#ifndef TOOLS_WSDIAL_INPUT_H
#define TOOLS_WSDIAL_INPUT_H

#include <stdbool.h>
#include <stddef.h>

struct loop;
struct wsdial_input;
struct wsdial_out;

/*
 * A line without its end; or, with p NULL, the end of the input: error is a text when it was one,
 * else NULL.  Nothing follows the end.
 */
typedef void wsdial_input_fn(void *arg, const char *p, size_t n, const char *error);

/*
 * Begin to read.  At a terminal the line that is typed belongs to out from now on
 * (wsdial_term.h).  Lines are at most max_line bytes.  NULL without memory or descriptors.
 */
struct wsdial_input *wsdial_input_start(
    struct loop *loop, struct wsdial_out *out, size_t max_line, wsdial_input_fn *fn, void *arg);
void wsdial_input_free(struct wsdial_input *in); /* once the loop has ended; NULL is nothing */

void wsdial_input_want(struct wsdial_input *in, bool want);

/* Suspend the process; false: there is no terminal to care for. */
bool wsdial_input_suspend(struct wsdial_input *in);

#endif
