/* Code made at run time, named in a map as a runtime does it for perf; the map goes when we go. A stand-in for a Python that is
 * built with frame pointers. x86_64. usage: made SECONDS */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
	/* push rbp; mov rbp, rsp; again: dec rdi; jnz again; pop rbp; ret */
	static const unsigned char code[] = { 0x55, 0x48, 0x89, 0xe5, 0x48, 0xff, 0xcf, 0x75, 0xfb, 0x5d, 0xc3 };
	double end = now() + atof(argc > 1 ? argv[1] : "1");
	void *made = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char path[64];
	FILE *map;

	if (made == MAP_FAILED)
		return 1;
	memcpy(made, code, sizeof(code));
	mprotect(made, 4096, PROT_READ | PROT_EXEC);
	snprintf(path, sizeof(path), "/tmp/perf-%d.map", getpid());
	map = fopen(path, "w");
	if (!map)
		return 1;
	fprintf(map, "%lx %zx py::spin_in_made_code:/app/work.py\n", (unsigned long)made, sizeof(code));
	fclose(map);
	while (now() < end)
		((void (*)(unsigned long))made)(1000000);
	unlink(path);
	return 0;
}
