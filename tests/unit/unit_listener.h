/*
 * What the tests of src/io/listener.c share (unit_listener.c): an owner, who counts what it is
 * told and does as the case says, a folder for Unix sockets, and clients.
 */
#ifndef TESTS_UNIT_LISTENER_H
#define TESTS_UNIT_LISTENER_H

#include "io/listener.h"
#include "unit_io.h"

#define TEST_MAX 8

/* An accepting listener's owner. */
struct owner {
	struct loop *loop;
	struct listener *l;
	unsigned accepted, stop_at;
	int fds[200];
	char peer[ADDR_SA_TEXT];
	unsigned pauses, resumes;
	int pause_err;
	bool stop_on_pause, stop_in_accept, free_in_accept, restart_in_accept;
	bool free_in_resume;
};

/* An owner whose listener accepts on this address. */
void owner_init(struct owner *o, const char *text);
void owner_clear(struct owner *o);
void owner_start(struct owner *o);
/* Run until n more clients were accepted. */
void owner_accept(struct owner *o, unsigned n);

struct place {
	char dir[64];
	char path[80];
	char text[100]; /* unix:PATH */
};
void place_init(struct place *p);
void place_clear(struct place *p);

struct listener *listener_test_open(const char *text);
/* A client that is connected, or -1. */
int listener_test_connect(const char *text);

#endif
