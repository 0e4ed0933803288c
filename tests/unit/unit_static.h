/*
 * What the tests of src/gateway/static.c share (unit_static.c): a folder of files, and a carrier
 * that notes the response, takes as many bytes as the case says and queues the rest, and minds the
 * rules: nothing is written while something is queued, the stream is closed or aborted exactly
 * once, and done is called exactly once.
 */
#ifndef TESTS_UNIT_STATIC_H
#define TESTS_UNIT_STATIC_H

#include "base/buf.h"
#include "gateway/static.h"
#include "unit_io.h"

/* Of every file: 2020-01-02T03:04:05.678Z */
#define MTIME 1577934245
#define DATE "Thu, 02 Jan 2020 03:04:05 GMT"
#define EARLIER "Thu, 02 Jan 2020 03:04:04 GMT"
#define LATER "Thu, 02 Jan 2020 03:04:06 GMT"
#define TAG(size) "\"15e5f2d6108fa780-" size "\""
#define HELLO "hello, world\n" /* hello.txt */
#define HELLO_TAG TAG("d")

#define BIG (6 * 1024 * 1024 + 12345)

/* The carrier, and what done was told. */
struct us_fake {
	struct stream s;
	unsigned status;
	char fields[16384];
	enum http_body body;
	uint64_t length;
	struct buf out;
	size_t take; /* bytes that go out at once */
	size_t queued;
	size_t turn_bytes, turn_max; /* written since the last turn; the most of them */
	bool respond_fails, write_fails;
	bool files;	   /* takes files without having them read */
	bool no_files_now; /* but not this one */
	unsigned sent_files;
	bool trickles; /* takes a byte each time that it is looked at */
	bool stop_on_done;
	unsigned ended, closed, aborted;
	unsigned done;
	unsigned done_status;
	uint64_t done_bytes;
	bool done_complete;
};

struct us {
	char dir[200], root[220];
	struct loop *loop;
	struct config_listen listen;
	struct stream_info info;
	struct config_route route;
	struct us_fake f; /* take, files, respond_fails and write_fails outlive us_begin */
};
extern struct us us;

/* A checked fixture: the folder, and a route that serves it. */
void us_setup(void);
void us_teardown(void);

/* The path of a file of the folder, until the next call. */
const char *us_path(const char *name);
/* Make a file, with MTIME. */
void us_put(const char *name, const char *text);
void us_put_bytes(const char *name, const void *p, size_t n);
/* big.bin, and a copy of its BIG bytes, to be freed. */
void us_put_big(void);
char *us_big_bytes(void);

/* Begin a response; method "GET", fields "A: b\n" lines. */
void us_begin(const char *method, const char *target, const char *fields);
void us_turn(void);
/* The carrier's queue goes out. */
void us_room(void);
/* Begin, and see it to its end; _whole: which has to be a good one. */
void us_get(const char *method, const char *target, const char *fields);
void us_get_whole(const char *method, const char *target, const char *fields);
/* Let the body's memory go. */
void us_drop(void);

bool us_body_is(const char *text);
/* The value of a field of the response, or ""; until the next call. */
const char *us_field(const char *name);

#endif
