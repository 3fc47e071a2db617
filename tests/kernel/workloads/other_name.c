/* SPDX-License-Identifier: Apache-2.0 */
/* The same code as its twin at the same addresses, under the name that NAME gives it. */
#include <stdlib.h>

static volatile unsigned long sink;

__attribute__((noinline)) void NAME(void)
{
	__asm__ volatile("" ::"r"(__builtin_frame_address(0)));
	for (int i = 0; i < 100000; i++)
		sink += i;
}

int main(void)
{
	for (;;)
		NAME();
}
