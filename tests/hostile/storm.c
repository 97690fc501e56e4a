/* Loads that hurt a recorder. usage: storm threads COUNT SECONDS | forks RATE SECONDS | connections RATE SECONDS | switches SECONDS
 * A rate of 0 is as fast as it goes. Prints how much it did. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

/* Sleeps until `done` of `rate` a second are due. */
static void pace(double began, long done, long rate)
{
	double ahead = rate ? began + (double)done / rate - now() : 0;

	if (ahead > 0)
		usleep(ahead * 1e6);
}

static volatile int over;

static void *nap(void *unused)
{
	(void)unused;
	while (!over)
		usleep(200000);
	return 0;
}

static long threads(long count, double seconds)
{
	pthread_t *all = calloc(count, sizeof(*all));
	pthread_attr_t small;
	long made = 0;

	pthread_attr_init(&small);
	pthread_attr_setstacksize(&small, 16384);
	while (made < count && !pthread_create(&all[made], &small, nap, 0))
		made++;
	usleep(seconds * 1e6);
	over = 1;
	for (long i = 0; i < made; i++)
		pthread_join(all[i], 0);
	return made;
}

static long forks(long rate, double seconds)
{
	double began = now();
	long done = 0;

	while (now() - began < seconds) {
		pid_t child = fork();

		if (child < 0)
			continue;
		if (!child)
			_exit(0);
		waitpid(child, 0, 0);
		pace(began, ++done, rate);
	}
	return done;
}

static int listener;

static void *serve(void *unused)
{
	int s;

	(void)unused;
	while ((s = accept(listener, 0, 0)) >= 0)
		close(s);
	return 0;
}

static long connections(long rate, double seconds)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct linger reset = {1, 0};
	socklen_t size = sizeof(at);
	pthread_t server;
	double began = now();
	long done = 0;

	listener = socket(AF_INET, SOCK_STREAM, 0);
	if (bind(listener, (void *)&at, sizeof(at)) || listen(listener, 1024) || getsockname(listener, (void *)&at, &size))
		return -1;
	pthread_create(&server, 0, serve, 0);
	while (now() - began < seconds) {
		int s = socket(AF_INET, SOCK_STREAM, 0);

		/* Closed by a reset: no port waits in TIME_WAIT. */
		setsockopt(s, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
		if (!connect(s, (void *)&at, sizeof(at)))
			done++;
		close(s);
		pace(began, done, rate);
	}
	return done;
}

static long switches(double seconds)
{
	int there[2], back[2];
	double began = now();
	long done = 0;
	char c = 0;

	if (pipe(there) || pipe(back))
		return -1;
	if (!fork()) {
		close(there[1]);
		while (read(there[0], &c, 1) == 1 && write(back[1], &c, 1) == 1)
			;
		_exit(0);
	}
	while (now() - began < seconds)
		if (write(there[1], &c, 1) == 1 && read(back[0], &c, 1) == 1)
			done++;
	return done;
}

int main(int argc, char **argv)
{
	const char *what = argc > 2 ? argv[1] : "";
	double began = now();
	long done = -1;

	if (argc == 4 && !strcmp(what, "threads"))
		done = threads(atol(argv[2]), atof(argv[3]));
	if (argc == 4 && !strcmp(what, "forks"))
		done = forks(atol(argv[2]), atof(argv[3]));
	if (argc == 4 && !strcmp(what, "connections"))
		done = connections(atol(argv[2]), atof(argv[3]));
	if (argc == 3 && !strcmp(what, "switches"))
		done = switches(atof(argv[2]));
	printf("%ld %.3f\n", done, now() - began);
	return done < 0;
}
