// A program with a Python inside that comes and goes: usage: embeds_python LIBPYTHON FOLDER TIMES
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include "events.h"

int main(int argc, char **argv) {
    void *python = argc == 4 ? dlopen(argv[1], RTLD_NOW | RTLD_GLOBAL) : NULL;
    if (!python) return fprintf(stderr, "%s\n", dlerror()), 2;
    void (*initialize)(int) = dlsym(python, "Py_InitializeEx");
    int (*run)(const char *) = dlsym(python, "PyRun_SimpleString");
    int (*finalize)(void) = dlsym(python, "Py_FinalizeEx");
    char text[4096];
    snprintf(text, sizeof text, "import sys; sys.path.insert(0, '%s'); import told; told.alloc(); told.alloc()\n"
                                "sys.stdout.flush()", argv[2]);
    for (int i = 0; i < atoi(argv[3]); i++) {
        initialize(0);
        if (run(text)) return 3;
        finalize();
        allocate(1000 + i);
    }
    return 0;
}
