/* Loads the fake runtime, argv[1], and asks it for more than there is; with a name, calls that function instead. */
#include <dlfcn.h>
#include <stdio.h>

int main(int argc, char **argv) {
    void *runtime = argc > 1 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : 0;
    void (*ask_for_too_much)(void) = runtime ? (void (*)(void))dlsym(runtime, argc > 2 ? argv[2] : "ask_for_too_much") : 0;
    if (!ask_for_too_much) return puts(dlerror()), 2;
    ask_for_too_much();
    return 0;
}
