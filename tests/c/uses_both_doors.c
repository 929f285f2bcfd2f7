/* argv[1] is a fake runtime, argv[2] a library with the marker that is no part of it, or "". Eight threads make and
   end argv[3] buffers each at once, the first of them racing for the first hook; then one runs a program. */
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

enum { N_THREADS = 8 };

static int (*make_and_end_a_buffer)(void);
static pthread_barrier_t begun;

static void *work(void *n) {
    pthread_barrier_wait(&begun);
    for (long i = 0; i < (long)n; i++) make_and_end_a_buffer();
    return 0;
}

int main(int argc, char **argv) {
    if (argc < 4) return 2;
    if (*argv[2] && !dlopen(argv[2], RTLD_NOW | RTLD_GLOBAL)) return 3;
    void *runtime = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
    if (!runtime) return puts(dlerror()), 4;
    make_and_end_a_buffer = (int (*)(void))dlsym(runtime, "make_and_end_a_buffer");
    void (*run_a_program_and_close)(void) = (void (*)(void))dlsym(runtime, "run_a_program_and_close");
    pthread_t threads[N_THREADS];
    pthread_barrier_init(&begun, 0, N_THREADS);
    for (int i = 0; i < N_THREADS; i++) pthread_create(&threads[i], 0, work, (void *)atol(argv[3]));
    for (int i = 0; i < N_THREADS; i++) pthread_join(threads[i], 0);
    run_a_program_and_close();
    return 0;
}
