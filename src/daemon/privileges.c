/* Limits and identity.  See privileges.h. */
#include <sys/resource.h>

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "daemon/privileges.h"

uint64_t
privileges_raise_nofile(void)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) == -1)
		return 1024;
	if (r.rlim_cur < r.rlim_max) {
		r.rlim_cur = r.rlim_max;
		if (setrlimit(RLIMIT_NOFILE, &r) == -1)
			getrlimit(RLIMIT_NOFILE, &r);
	}
	return r.rlim_cur == RLIM_INFINITY ? UINT32_MAX : (uint64_t)r.rlim_cur;
}

static int
privileges_look_up(const struct config_server *s, uid_t *uid, gid_t *gid, const char **name,
    char *err, size_t size)
{
	const struct passwd *pw;
	const struct group *gr;

	*uid = geteuid();
	*gid = getegid();
	*name = NULL;
	if (s->user != NULL) {
		if ((pw = getpwnam(s->user)) == NULL) {
			snprintf(err, size, "[server] User=%s: there is no such user", s->user);
			return -1;
		}
		*uid = pw->pw_uid;
		*gid = pw->pw_gid;
		*name = pw->pw_name;
	}
	if (s->group != NULL) {
		if ((gr = getgrnam(s->group)) == NULL) {
			snprintf(err, size, "[server] Group=%s: there is no such group", s->group);
			return -1;
		}
		*gid = gr->gr_gid;
	}
	return 0;
}

static void
privileges_report(const struct config_server *s, const char *key, const char *value,
    const char *what, config_report_fn *report, void *arg)
{
	char line[2048];
	size_t n = config_where(line, sizeof(line), s->section, key, value);

	snprintf(line + n, sizeof(line) - n, "[server] %s=%s: %s", key, value, what);
	report(arg, true, line);
}

int
privileges_check(const struct config_server *s, config_report_fn *report, void *arg)
{
	int ret = 0;

	if (s->user != NULL && getpwnam(s->user) == NULL) {
		privileges_report(s, "User", s->user,
		    "there is no such user; expected one of this system", report, arg);
		ret = -1;
	}
	if (s->group != NULL && getgrnam(s->group) == NULL) {
		privileges_report(s, "Group", s->group,
		    "there is no such group; expected one of this system", report, arg);
		ret = -1;
	}
	return ret;
}

int
privileges_future_group(const struct config_server *s)
{
	const char *name;
	char err[400];
	uid_t uid;
	gid_t gid;

	if (geteuid() != 0 || (s->user == NULL && s->group == NULL) ||
	    privileges_look_up(s, &uid, &gid, &name, err, sizeof(err)) == -1)
		return -1;
	return (int)gid;
}

void
privileges_give_log(const struct config_server *s, struct log *log)
{
	const char *name;
	char err[400];
	uid_t uid;
	gid_t gid;

	if (geteuid() == 0 && (s->user != NULL || s->group != NULL) &&
	    privileges_look_up(s, &uid, &gid, &name, err, sizeof(err)) == 0)
		log_give(log, uid, gid);
}

int
privileges_drop(const struct config_server *s, char *err, size_t size)
{
	const char *name, *what;
	uid_t uid;
	gid_t gid;

	if (s->user == NULL && s->group == NULL)
		return 0;
	if (privileges_look_up(s, &uid, &gid, &name, err, size) == -1)
		return -1;
	if (uid == geteuid() && gid == getegid() && geteuid() != 0)
		return 0;
	what = "setgroups";
	if ((name != NULL ? initgroups(name, gid) : setgroups(1, &gid)) == -1)
		goto fail;
	what = "setgid";
	if (setresgid(gid, gid, gid) == -1)
		goto fail;
	what = "setuid";
	if (setresuid(uid, uid, uid) == -1)
		goto fail;
	/* Never back to root. */
	if (uid != 0 && setuid(0) == 0) {
		snprintf(err, size, "[server] User: root could be regained");
		return -1;
	}
	return 0;
fail:
	snprintf(err, size, "[server] User=%s Group=%s: %s: %s", s->user != NULL ? s->user : "",
	    s->group != NULL ? s->group : "", what, strerror(errno));
	return -1;
}
