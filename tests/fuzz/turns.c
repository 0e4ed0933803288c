/* Turns of a loop.  See turns.h. */
#include "io/loop.h"

#include "turns.h"

struct turns {
	struct loop_msg msg;
	unsigned left;
};

static void
on_turn(struct loop_msg *m, struct loop *l)
{
	struct turns *t = (struct turns *)m;

	if (--t->left == 0)
		loop_stop(l);
	else
		loop_post(l, m);
}

void
fuzz_turns(struct loop *l, unsigned n)
{
	struct turns t = { .msg.fn = on_turn, .left = n };

	loop_post(l, &t.msg);
	loop_run(l);
}
