// Preloaded into `recover`: kills it before, in the middle of or behind the K-th call that changes a file. DIES_IN is K
// and B, H or A. `write` to standard output and standard error does not count.
#define _GNU_SOURCE
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

static long n_calls;

static char moment(void) {
    char *end = "", *text = getenv("DIES_IN");
    return text && strtol(text, &end, 10) == ++n_calls ? *end : 0;
}

static void die(void) { kill(getpid(), SIGKILL); }

static long change(long number, long a, long b, long c, long d, long half) {
    char when = moment();
    if (when == 'B') die();
    if (when == 'H') syscall(number, a, b, half, d), die();
    long result = syscall(number, a, b, c, d);
    if (when == 'A') die();
    return result;
}

ssize_t write(int fd, const void *bytes, size_t n) {
    if (fd <= STDERR_FILENO) return syscall(SYS_write, fd, bytes, n);
    return change(SYS_write, fd, (long)bytes, (long)n, 0, (long)n / 2);
}
ssize_t pwrite64(int fd, const void *bytes, size_t n, off64_t at) {
    return change(SYS_pwrite64, fd, (long)bytes, (long)n, at, (long)n / 2);
}
int ftruncate64(int fd, off64_t length) { return (int)change(SYS_ftruncate, fd, length, 0, 0, 0); }
int unlink(const char *path) { return (int)change(SYS_unlink, (long)path, 0, 0, 0, 0); }
