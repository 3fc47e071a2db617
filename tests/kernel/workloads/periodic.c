/* SPDX-License-Identifier: Apache-2.0 */
/* Burns the first 10 ms of every 50 ms, in step with the wall clock, for ever. */
#include <stdint.h>
#include <time.h>

static volatile unsigned long sink;

static uint64_t now_ns(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

__attribute__((noinline)) void burn_until(uint64_t end_ns)
{
	while (now_ns() < end_ns)
		for (int i = 0; i < 1000; i++)
			sink += i;
}

int main(void)
{
	uint64_t slot_ns = 50000000u, start_ns = now_ns();

	for (;;) {
		struct timespec next;

		burn_until(start_ns + slot_ns / 5);
		start_ns += slot_ns;
		next.tv_sec = start_ns / 1000000000u;
		next.tv_nsec = start_ns % 1000000000u;
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, 0);
	}
}
