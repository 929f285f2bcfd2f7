// A parent that records, and the kind of child that argv[1] names. The addresses tell who recorded: 1 and 4 the
// parent, 2 the child, 3 the grandchild. Pids go to stdout.
#include "events.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int child(const char *how) {
    if (!strcmp(how, "silent")) return 0;
    if (!strcmp(how, "silent-_exit")) _exit(0);
    if (!strcmp(how, "grandchild") || !strcmp(how, "grandchild-of-silent")) {
        if (!strcmp(how, "grandchild")) allocate(2);
        pid_t grandchild = fork();
        if (grandchild == 0) {
            allocate(3);
            return 0;
        }
        printf("grandchild %d\n", grandchild);
        fflush(stdout);
        return waitpid(grandchild, NULL, 0) != grandchild;
    }
    allocate(2);
    deallocate(1); // inherited
    if (!strcmp(how, "_exit")) _exit(0);
    return 0;
}

int main(int argc, char **argv) {
    const char *how = argc > 1 ? argv[1] : "";
    if (strcmp(how, "before") != 0) allocate(1);
    pid_t pid = fork();
    if (pid == 0) return child(how);
    printf("child %d\n", pid);
    fflush(stdout);
    int status = 1;
    waitpid(pid, &status, 0);
    if (strcmp(how, "before") != 0) allocate(4);
    return status;
}
