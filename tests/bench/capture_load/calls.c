/* calls read|getppid COUNT: the processor's time of one system call, in nanoseconds.
 *
 * `read` takes one byte of /dev/zero: a call that is none of the probe's business, on a hooked one.
 * `getppid` has no hook; it pays for other calls' tracepoints (every call takes the slow path). */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static double now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return now.tv_sec * 1e9 + now.tv_nsec;
}

int main(int argc, char **argv)
{
    if (argc != 3)
        return 2;
    long count = atol(argv[2]);
    int fd = open("/dev/zero", O_RDONLY), reads = !strcmp(argv[1], "read");
    char byte;
    double begun = now_ns();
    for (long i = 0; i < count; i++)
        if (reads ? read(fd, &byte, 1) != 1 : syscall(SYS_getppid) < 0)
            return 1;
    printf("%.2f\n", (now_ns() - begun) / count);
    return 0;
}
