/* Loads the fake runtime as Python loads the real one: late, and for itself alone. */
#include <dlfcn.h>
#include <stdio.h>

int main(int argc, char **argv) {
    void *runtime = argc > 1 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : 0;
    int (*make_and_end_a_buffer)(void) = runtime ? (int (*)(void))dlsym(runtime, "make_and_end_a_buffer") : 0;
    if (!make_and_end_a_buffer) {
        puts(dlerror());
        return 2;
    }
    for (int i = 0; i < 3; i++) printf("%d\n", make_and_end_a_buffer());
    return 0;
}
