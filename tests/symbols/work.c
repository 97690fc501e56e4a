/* Busy in a function whose name is known, called through two others. usage: work MILLISECONDS */
#include <stdlib.h>
#include <time.h>

#ifndef HOT
#define HOT spin_in_c
#endif

volatile unsigned long sink;

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

__attribute__((noinline)) void HOT(unsigned long n)
{
	unsigned long x = n | 1;

	for (unsigned long i = 0; i < 200000; i++)
		x = x * 6364136223846793005UL + (x >> 3);
	sink = x;
}

__attribute__((noinline)) static void middle_of_c(double end)
{
	while (now() < end)
		HOT(sink);
	sink++;
}

__attribute__((noinline)) static void outer_of_c(double end)
{
	middle_of_c(end);
	sink++;
}

int main(int argc, char **argv)
{
	outer_of_c(now() + atof(argc > 1 ? argv[1] : "1000") / 1000);
	return 0;
}
