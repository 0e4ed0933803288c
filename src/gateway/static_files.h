/*
 * The static files that a worker has opened lately: looking one up, opening it and reading it costs
 * more than sending a small one.  One thread.
 *
 * The descriptor is kept, and of a small file the bytes.  The kernel is asked whether the file is
 * what it was, once in a turn of the loop (whoever asks in one has asked before it): who changes,
 * replaces or removes a file is heeded at once.  What stands for the name else (folders that are
 * renamed, links that are moved) is as old as the open document root at most, STATIC_ROOTS_MS.
 * What is not there is not remembered.
 */
#ifndef GATEWAY_STATIC_FILES_H
#define GATEWAY_STATIC_FILES_H

#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <time.h>

#include "base/span.h"
#include "io/loop.h"

/* Files of which the bytes are kept. */
#define STATIC_SMALL 16384

/*
 * A worker keeps no more than so many, and none while more than three quarters of the descriptors
 * are in use.
 */
#define STATIC_FILES_N 256

struct static_files;

/*
 * An open file: kept until nobody has a reference, even when it is not in the cache any more.  For
 * reading only.
 */
struct static_entry {
	struct static_entry *next; /* in its bucket */
	unsigned refs;
	uint32_t hash;
	uint32_t asked;		 /* in which round the file was as it was */
	int fd;			 /* owned */
	const uint8_t *body;	 /* size bytes within data; NULL: read fd */
	const char *root, *name; /* in data */
	size_t bytes;		 /* of this allocation */
	uint64_t size;
	struct timespec mtime, ctime;
	time_t modified;  /* as it is shown: never later than now (RFC 9110 8.8.2.1) */
	const char *type; /* static */
	char etag[40];	  /* RFC 9110 8.8.3 */
	char last_modified[32];
	/* the fields of a 200 as HTTP/1.1 writes them, in data; empty without memory */
	struct span lines;
	char data[];
};

struct static_files *static_files_new(struct loop *loop); /* NULL without memory */
/* NULL is nothing; entries that are in use live on */
void static_files_free(struct static_files *sf);

/*
 * The regular file of this name (from static_name_make) beneath the folder at root, which are
 * borrowed for the call, with a reference that the caller gives back by static_entry_unref.  NULL
 * with errno: EISDIR for a folder, ENOENT for what is neither, or what kept it from being opened.
 */
struct static_entry *static_files_get(struct static_files *sf, const char *root, const char *name);
void static_entry_unref(struct static_entry *e); /* NULL is nothing */

/* Forget all of them, and close the document roots. */
void static_files_flush(struct static_files *sf);

#endif
