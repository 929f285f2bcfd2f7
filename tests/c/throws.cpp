// Throws what the library stands in for the constructor of, where the runtime is not there: before `main`, as the base
// of another exception, and in a thread.
#include <cstdio>
#include <stdexcept>
#include <string>
#include <thread>

struct Special : std::runtime_error {
  using std::runtime_error::runtime_error;
};

template <typename E>
static std::string caught(const std::string& text) {
  try {
    throw E(text);
  } catch (const std::runtime_error& error) {
    return error.what();
  }
}

static const std::string early = caught<std::runtime_error>("before main");

int main() {
  std::puts(early.c_str());
  std::puts(caught<std::runtime_error>(std::string(3000, 'x')).substr(2990).c_str());
  std::puts(caught<Special>("special").c_str());
  std::thread([] { std::puts(caught<std::runtime_error>("in a thread").c_str()); }).join();
}
