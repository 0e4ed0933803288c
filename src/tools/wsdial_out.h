/*
 * What wsdial writes: messages to the standard output, errors and what -v shows to the standard
 * error.  Where a person types at a terminal the line that is being typed is taken away first and
 * put back afterwards.
 */
#ifndef TOOLS_WSDIAL_OUT_H
#define TOOLS_WSDIAL_OUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct wsdial_term;

struct wsdial_out {
	struct wsdial_term *term; /* borrowed; NULL: nobody types */
	bool verbose;
	bool to_terminal; /* the standard output is one */
	int broken;	  /* errno of a failed write to the standard output; 0 */
};

void wsdial_out_init(struct wsdial_out *o, bool verbose);

/*
 * A message that came.  Text is a line.  Binary is written as it is and nothing is added; at a
 * terminal it is a line with all but printable ASCII as \xNN.  Control characters of a text are
 * written so too at a terminal, which a peer must not steer.
 */
void wsdial_out_message(struct wsdial_out *o, bool binary, const void *p, size_t n);

/* A line to the standard output. */
void wsdial_out_line(struct wsdial_out *o, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* "wsdial: ..." to the standard error. */
void wsdial_out_error(struct wsdial_out *o, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* A line to the standard error, with -v only. */
void wsdial_out_trace(struct wsdial_out *o, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* Write all, whatever it takes; 0 or -1 with errno. */
int wsdial_write(int fd, const void *p, size_t n);

#endif
