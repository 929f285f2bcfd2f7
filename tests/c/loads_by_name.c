// Not preloaded: opens the library, argv[1], by hand, records through it and closes it again, twice.
#include "events.h"
#include <dlfcn.h>
#include <stdio.h>

int main(int argc, char **argv) {
    for (int i = 0; argc > 1 && i < 2; i++) {
        void *library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
        if (!library) return puts(dlerror()), 1;
        void (*mark)(const char *);
        *(void **)&mark = dlsym(library, "tt_memtrace_mark");
        mark("by hand");
        if (dlclose(library) != 0) return 2;
        mark("after dlclose"); // the library must still be there
    }
    return 0;
}
