/* Opening a file beneath DocumentRoot, whatever its name and the links on the way say. */
#ifndef GATEWAY_STATIC_OPEN_H
#define GATEWAY_STATIC_OPEN_H

/*
 * Open name (relative, from static_name_make) for reading.  Symbolic links are followed while they
 * stay beneath root, an open folder (openat2, RESOLVE_BENEATH); where the kernel has no openat2,
 * none are.  Never waits: a FIFO opens at once.  The descriptor is the caller's; -1 with errno.
 */
int static_open(int root, const char *name);

#endif
