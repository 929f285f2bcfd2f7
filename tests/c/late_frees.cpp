// Buffers that are freed after main has returned, in every way C++ knows.
#include "events.h"
#include <cstdlib>

struct Tensor {
    uint64_t address;
    explicit Tensor(uint64_t at) : address(at) { allocate(address); }
    ~Tensor() { deallocate(address); }
};

static Tensor of_the_program(1); // begins before main
static thread_local Tensor *unused = nullptr;
__attribute__((destructor)) static void in_fini() { deallocate(5); }

int main() {
    static Tensor of_a_function(2);
    static thread_local Tensor of_the_thread(3);
    std::atexit([] { deallocate(4); });
    return unused == nullptr ? 0 : static_cast<int>(of_the_thread.address);
}
