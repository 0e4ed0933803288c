/* What is told to systemd (sd_notify(3)); nothing where there is none. */
#ifndef DAEMON_NOTIFY_H
#define DAEMON_NOTIFY_H

void notify_ready(void);
void notify_reloading(void);	/* followed by notify_ready */
void notify_stopping(void);

#endif
