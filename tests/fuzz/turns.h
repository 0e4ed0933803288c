/* A loop that runs for so many turns, for targets that need one. */
#ifndef FUZZ_TURNS_H
#define FUZZ_TURNS_H

struct loop;

void fuzz_turns(struct loop *l, unsigned n); /* n: at least 1 */

#endif
