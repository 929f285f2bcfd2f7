// Starts recording, then leaves for another folder.
#include "events.h"
#include <unistd.h>

int main(void) {
    allocate(1);
    if (chdir("/") != 0) return 1;
    allocate(2);
    for (int fd = 3; fd < 16; fd++) close(fd); // its file has to be found again from there
    allocate(3);
    return 0;
}
