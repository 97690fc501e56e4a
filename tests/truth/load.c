/* A load whose truth is known by construction: functions with given shares of CPU time, sleepers, and threads that fight for one CPU.
 * usage: load SECONDS; prints "tid name" per thread, runs, ends. */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static double now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec + t.tv_nsec / 1e9; }
static volatile unsigned long sink;
static double end;

#define WORK(name, rounds) \
	__attribute__((noinline, noclone)) void name(void) { \
		for (int i = 0; i < (rounds) * 20000; i++) sink = sink * 31 + i; \
	}
WORK(work_forty, 40)
WORK(work_twentyfive, 25)
WORK(work_fifteen, 15)
WORK(work_eleven, 11)
WORK(work_nine, 9)

static void *burn(void *arg) {
	(void)arg;
	while (now() < end) { work_forty(); work_twentyfive(); work_fifteen(); work_eleven(); work_nine(); }
	return NULL;
}
static void *sleeper(void *arg) {
	(void)arg;
	struct timespec t = {0, 7000000};
	while (now() < end) { nanosleep(&t, NULL); for (int i = 0; i < 20000; i++) sink += i; }
	return NULL;
}
static const char *names[] = {"truth-burn", "truth-sleep", "truth-fight-a", "truth-fight-b"};
struct start { void *(*run)(void *); const char *name; int cpu; };
static void *begin(void *arg) {
	struct start *s = arg;
	pthread_setname_np(pthread_self(), s->name);
	cpu_set_t set;
	CPU_ZERO(&set);
	CPU_SET(s->cpu, &set);
	sched_setaffinity(0, sizeof set, &set);
	printf("%ld %s\n", syscall(SYS_gettid), s->name);
	fflush(stdout);
	return s->run(NULL);
}
int main(int argc, char **argv) {
	end = now() + (argc > 1 ? atof(argv[1]) : 5);
	pthread_t t[4];
	struct start s[4] = {{burn, names[0], 0}, {sleeper, names[1], 1}, {burn, names[2], 1}, {burn, names[3], 1}};
	for (int i = 0; i < 4; i++) pthread_create(&t[i], NULL, begin, &s[i]);
	for (int i = 0; i < 4; i++) pthread_join(t[i], NULL);
	return 0;
}
