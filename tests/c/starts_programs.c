// A recording process that starts others in every way but a plain fork.
#include "events.h"
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static void wait_for(pid_t pid) {
    int status;
    if (waitpid(pid, &status, 0) != pid || status != 0) puts("a child failed");
}

int main(void) {
    allocate(1);
    char *words[] = {"true", NULL};
    for (int i = 0; i < 20; i++) {
        pid_t pid = vfork();
        if (pid == 0) {
            execvp(words[0], words);
            _exit(1);
        }
        wait_for(pid);
        pid = vfork();
        if (pid == 0) _exit(0); // our own _exit, in a child that shares our memory
        wait_for(pid);
        if (posix_spawnp(&pid, words[0], NULL, NULL, words, environ) == 0) wait_for(pid);
        if (system("true | cat") != 0) puts("system failed");
        FILE *pipe = popen("echo x", "r");
        if (!pipe || fgetc(pipe) != 'x' || pclose(pipe) != 0) puts("popen failed");
    }
    allocate(2);
    return 0;
}
