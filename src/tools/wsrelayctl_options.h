/* The command line of wsrelayctl(8). */
#ifndef TOOLS_WSRELAYCTL_OPTIONS_H
#define TOOLS_WSRELAYCTL_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum ctl_command {
	CTL_STATUS,
	CTL_CONNECTIONS,
	CTL_TOP,
	CTL_CLOSE,
	CTL_RELOAD,
	CTL_DRAIN,
	CTL_METRICS,
	CTL_HELP,
	CTL_VERSION,
};

enum ctl_sort { CTL_SORT_MESSAGES, CTL_SORT_BYTES };

/* Texts point into argv. */
struct ctl_options {
	enum ctl_command command;
	const char *config_path;	   /* -c */
	const char *address;		   /* -a; NULL: the configuration's */
	const char *route, *client, *kind; /* filters; NULL: none */
	char **ids;			   /* close */
	size_t n_ids;
	uint64_t interval_ms; /* top */
	uint64_t rounds;      /* top; 0: not said */
	enum ctl_sort sort;
	bool json;
	bool wait; /* drain */
};

#define CTL_WHY 200

/* 0, or -1 with a text in why that says what is wrong.  Permutes argv. */
int ctl_options_parse(struct ctl_options *o, int argc, char **argv, char why[CTL_WHY]);

extern const char ctl_options_help[];

#endif
