/* SPDX-License-Identifier: Apache-2.0 */
/* Burns CPU at the bottom of a recursion of the given depth, for ever. */
#include <stdlib.h>

static volatile unsigned long sink;

__attribute__((noinline)) void burn(void)
{
	__asm__ volatile("" ::"r"(__builtin_frame_address(0)));
	for (int i = 0; i < 100000; i++)
		sink += i;
}

__attribute__((noinline)) void recurse(int depth)
{
	if (depth > 0)
		recurse(depth - 1);
	else
		burn();
	__asm__ volatile("" ::: "memory");
}

int main(int argc, char **argv)
{
	int depth = argc > 1 ? atoi(argv[1]) : 0;

	for (;;)
		recurse(depth);
}
