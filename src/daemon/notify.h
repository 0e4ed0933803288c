/*
 * What is told to systemd, or to another supervisor that has set NOTIFY_SOCKET (sd_notify(3));
 * nothing where there is none, or without libsystemd.  The main thread's.
 */
#ifndef DAEMON_NOTIFY_H
#define DAEMON_NOTIFY_H

#include <stdbool.h>
#include <stdint.h>

bool notify_wanted(void); /* somebody listens */

void notify_ready(void);
void notify_reloading(void); /* followed by notify_ready */
void notify_stopping(void);

/* One line for people (systemctl status). */
void notify_status(const char *text);

/*
 * While it stops: it is still at work, and will say so again within us microseconds
 * (EXTEND_TIMEOUT_USEC).
 */
void notify_still_stopping(uint64_t us);

/* How often notify_alive is expected (WatchdogSec=), in microseconds; 0: it is not. */
uint64_t notify_watchdog_us(void);
void notify_alive(void);

#endif
