/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Four functions share one leaf and take about 50, 30, 15 and 5 % of the CPU.
 * Each measures the CPU time that it really took; SIGTERM or the end of the
 * given seconds prints "name nanoseconds" for each of them.
 */
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static volatile sig_atomic_t stopped;
static volatile uint64_t sink;

static void stop(int signal)
{
	(void)signal;
	stopped = 1;
}

static uint64_t now_ns(clockid_t clock)
{
	struct timespec time;

	clock_gettime(clock, &time);
	return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static uint64_t random_state = 88172645463325252u;

static uint64_t next_random(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

/* gcc gives a function without calls and locals a frame only if it is asked for its address. */
__attribute__((noinline)) void leaf(uint64_t rounds)
{
	__asm__ volatile("" ::"r"(__builtin_frame_address(0)));
	for (uint64_t i = 0; i < rounds; i++)
		sink += i;
}

/* The statement after the call keeps it from becoming a jump. */
#define BRANCH(name)                                            \
	__attribute__((noinline)) void name(uint64_t rounds)    \
	{                                                       \
		leaf(rounds);                                   \
		__asm__ volatile("" ::: "memory");              \
	}

BRANCH(takes_half)
BRANCH(takes_thirty)
BRANCH(takes_fifteen)
BRANCH(takes_five)

static const struct {
	const char *name;
	void (*run)(uint64_t rounds);
	unsigned int percent;
} branches[] = {
	{ "takes_half", takes_half, 50 },
	{ "takes_thirty", takes_thirty, 30 },
	{ "takes_fifteen", takes_fifteen, 15 },
	{ "takes_five", takes_five, 5 },
};

int main(int argc, char **argv)
{
	uint64_t seconds = argc > 1 ? strtoull(argv[1], NULL, 10) : 0;
	uint64_t start = now_ns(CLOCK_MONOTONIC), spent[4] = { 0 };

	signal(SIGTERM, stop);
	signal(SIGINT, stop);
	while (!stopped && !(seconds && now_ns(CLOCK_MONOTONIC) - start > seconds * 1000000000u)) {
		unsigned int drawn = next_random() % 100, branch = 0;
		uint64_t rounds = 20000 + next_random() % 200000, before;

		while (drawn >= branches[branch].percent)
			drawn -= branches[branch++].percent;
		before = now_ns(CLOCK_THREAD_CPUTIME_ID);
		branches[branch].run(rounds);
		spent[branch] += now_ns(CLOCK_THREAD_CPUTIME_ID) - before;
	}
	for (unsigned int branch = 0; branch < 4; branch++)
		printf("%s %llu\n", branches[branch].name, (unsigned long long)spent[branch]);
	return 0;
}
