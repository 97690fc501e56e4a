/* Lock waits whose holder is known by construction: each mode prints `waiter TID` and `holder TID` (or `waker TID`), then waits
 * for the end of its input. */
#define _GNU_SOURCE
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HELD_US 60000

static pthread_mutex_t a = PTHREAD_MUTEX_INITIALIZER, b = PTHREAD_MUTEX_INITIALIZER, pi;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static sem_t sem;
static pthread_barrier_t both;
static volatile int ready;

static void say(const char *what)
{
	printf("%s %d\n", what, gettid());
	fflush(stdout);
}

static void *wait_for(void *mutex)
{
	say("waiter");
	pthread_barrier_wait(&both);
	usleep(HELD_US / 6);
	pthread_mutex_lock(mutex);
	pthread_mutex_unlock(mutex);
	return 0;
}

static void *wait_for_condition(void *unused)
{
	say("waiter");
	pthread_mutex_lock(&a);
	while (!ready)
		pthread_cond_wait(&cond, &a);
	pthread_mutex_unlock(&a);
	return unused;
}

static void *wait_for_semaphore(void *unused)
{
	say("waiter");
	sem_wait(&sem);
	return unused;
}

struct order {
	pthread_mutex_t *first, *second;
	const char *name;
};

static void *take_both(void *given)
{
	struct order *o = given;

	say(o->name);
	pthread_mutex_lock(o->first);
	pthread_barrier_wait(&both);
	pthread_mutex_lock(o->second);
	return 0;
}

int main(int argc, char **argv)
{
	const char *mode = argc > 1 ? argv[1] : "";
	struct order ab = { &a, &b, "first" }, ba = { &b, &a, "second" };
	pthread_mutexattr_t attr;
	pthread_t thread, other;
	pthread_mutex_t *mutex = &a;

	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setprotocol(&attr, PTHREAD_PRIO_INHERIT);
	pthread_mutex_init(&pi, &attr);
	pthread_barrier_init(&both, 0, 2);
	sem_init(&sem, 0, 0);
	if (!strcmp(mode, "mutex") || !strcmp(mode, "pi")) {
		mutex = *mode == 'p' ? &pi : &a;
		say("holder");
		pthread_mutex_lock(mutex);
		pthread_create(&thread, 0, wait_for, mutex);
		pthread_barrier_wait(&both);
		usleep(HELD_US);
		pthread_mutex_unlock(mutex);
		pthread_join(thread, 0);
	} else if (!strcmp(mode, "condition")) {
		say("waker");
		pthread_create(&thread, 0, wait_for_condition, 0);
		usleep(HELD_US);
		pthread_mutex_lock(&a);
		ready = 1;
		pthread_cond_signal(&cond);
		pthread_mutex_unlock(&a);
		pthread_join(thread, 0);
	} else if (!strcmp(mode, "semaphore")) {
		say("waker");
		pthread_create(&thread, 0, wait_for_semaphore, 0);
		usleep(HELD_US);
		sem_post(&sem);
		pthread_join(thread, 0);
	} else if (!strcmp(mode, "deadlock")) {
		pthread_create(&thread, 0, take_both, &ab);
		pthread_create(&other, 0, take_both, &ba);
	} else {
		return 2;
	}
	say("done");
	while (getchar() != EOF)
		;
	_exit(0);
}
