// A fake of the runtime's library, as small as the recorder's questions are: its symbols have the names and its
// objects the layout of ttnn's. It stands in where a runtime is needed that no wheel has: one with a symbol
// missing, or with fields that do not hold what they should.
//
//   -DACCESSORS    the generation from 0.80: every fact has an accessor; without: facts are fields
//   -DNO_PER_BANK  a mandatory accessor is missing
//   -DWRONG_SIZE   the size is not pages times page size, as if the fields had moved
//   -DPATCHED      every event is reported through the C interface, too
//   -DMARKED       the marker that says so
//   -DNO_BANKS     the allocator has no bank, so no bytes in each: whoever asks divides by zero
//   -DREFUSES      buffers of any size make sense; some requests end the thread that makes them
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <pthread.h>
#include <stdexcept>
#include <string>
#include <vector>

#ifdef PATCHED
#include "tt_memtrace.h"
#endif
#ifdef MARKED
extern "C" __attribute__((visibility("default"))) const std::uint32_t tt_memtrace_patched_runtime = 1;
#endif

namespace tt::tt_metal {

struct IDevice {
  virtual ~IDevice() = default;
  virtual int arch() const { return 2; }
  virtual int id() const { return 0; }
};

namespace distributed {
struct MeshDevice : IDevice {
  int id() const override;
  std::vector<int> get_device_ids() const;
  std::size_t num_rows() const;
  std::size_t num_cols() const;
  bool close();
};
int MeshDevice::id() const { return 7; }
std::vector<int> MeshDevice::get_device_ids() const { return {1, 0}; }
std::size_t MeshDevice::num_rows() const { return 1; }
std::size_t MeshDevice::num_cols() const { return 2; }
}  // namespace distributed

struct Device : IDevice {
  int id() const override;
};
int Device::id() const { return 3; }

struct Buffer {
  void* unused[2];
  IDevice* of;
  std::uint64_t bytes;
  std::uint32_t type, layout;

  std::uint32_t address() const;
  bool is_allocated() const;
  std::uint64_t page_size() const;
  std::uint64_t num_pages() const;
  bool is_dram() const;
  bool is_l1() const;
#ifndef NO_PER_BANK
  std::uint64_t aligned_size_per_bank() const;
#endif
#ifdef ACCESSORS
  std::uint64_t size() const;
  int buffer_type() const;
  int buffer_layout() const;
  IDevice* device() const;
  std::uint64_t unique_id() const;
#endif
};
#if defined(REFUSES) && !defined(WRONG_SIZE)
#define PAGES bytes / 2048
#else
#define PAGES 4
#endif
std::uint32_t Buffer::address() const { return 4096; }
bool Buffer::is_allocated() const { return true; }
std::uint64_t Buffer::page_size() const { return 2048; }
std::uint64_t Buffer::num_pages() const { return PAGES; }
bool Buffer::is_dram() const { return true; }
bool Buffer::is_l1() const { return false; }
#ifndef NO_PER_BANK
std::uint64_t Buffer::aligned_size_per_bank() const {
#ifdef NO_BANKS
  __builtin_trap();
#endif
  return 2048;
}
#endif
#ifdef ACCESSORS
std::uint64_t Buffer::size() const { return bytes; }
int Buffer::buffer_type() const { return 0; }
int Buffer::buffer_layout() const { return 0; }
IDevice* Buffer::device() const { return of; }
std::uint64_t Buffer::unique_id() const { return 42; }
#endif

enum class BufferType { DRAM };

struct CoreRangeSet {
  std::vector<std::size_t> cores;
};

struct Program;

namespace detail {
struct ProgramImpl {
  std::uint64_t get_id() const;
  void allocate_circular_buffers(const IDevice*);
  void deallocate_circular_buffers();
  void validate_circular_buffer_region(const IDevice*);
  void validate_dataflow_buffer_region(const IDevice*);
  ~ProgramImpl();
};
void ProgramImpl::validate_circular_buffer_region(const IDevice* device) {
  if (device->id() == 3) throw std::logic_error("circular buffers clash");
  pthread_testcancel();
}
void ProgramImpl::validate_dataflow_buffer_region(const IDevice* device) {
  if (device->id() == 3) throw 17;
}
std::uint64_t ProgramImpl::get_id() const { return 11; }
ProgramImpl::~ProgramImpl() {}
}  // namespace detail

struct Program {
  detail::ProgramImpl* impl;
};

struct GraphTracker {
  void track_allocate(const Buffer*);
  void track_deallocate(Buffer*);
  bool hook_deallocate(Buffer*);
  void track_allocate_cb(const CoreRangeSet&, std::uint64_t address, std::uint64_t size, bool in_buffer, const IDevice*);
  void track_deallocate_cb(const IDevice*);
  void track_program(Program*, const IDevice*);
};

std::atomic<int> n_calls{0};

#ifdef PATCHED
static tt_memtrace_buffer described(const Buffer* buffer) {
  tt_memtrace_buffer c = {};
  c.struct_size = sizeof c;
  c.mesh_id = static_cast<std::uint32_t>(buffer->of->id());
  c.address = buffer->address();
  c.size_bytes = buffer->bytes;
  c.page_size_bytes = buffer->page_size();
  c.per_bank_bytes = 2048;
  c.unique_id = 42;
  c.allocator = TT_MEMTRACE_NONE64;
  return c;
}
#endif

void GraphTracker::track_allocate(const Buffer* buffer) {
  n_calls++;
#ifdef PATCHED
  tt_memtrace_buffer c = described(buffer);
  if (tt_memtrace_track_allocate) tt_memtrace_track_allocate(&c);
#endif
  (void)buffer;
}
void GraphTracker::track_deallocate(Buffer* buffer) {
  n_calls++;
#ifdef PATCHED
  tt_memtrace_buffer c = described(buffer);
  if (tt_memtrace_track_deallocate) tt_memtrace_track_deallocate(&c);
#endif
  (void)buffer;
}
bool GraphTracker::hook_deallocate(Buffer*) { return false; }
void GraphTracker::track_allocate_cb(
    const CoreRangeSet&, std::uint64_t address, std::uint64_t size, bool in_buffer, const IDevice* device) {
#ifdef PATCHED
  tt_memtrace_core_range cores = {0, 0, 1, 1};
  tt_memtrace_circular_buffer c = {};
  c.struct_size = sizeof c;
  c.mesh_id = static_cast<std::uint32_t>(device->id());
  c.program = TT_MEMTRACE_NONE64;
  c.address = address;
  c.size_bytes = size;
  c.globally_allocated = in_buffer;
  c.core_ranges = &cores;
  c.n_core_ranges = 1;
  if (tt_memtrace_track_allocate_cb) tt_memtrace_track_allocate_cb(&c);
#endif
  (void)address, (void)size, (void)in_buffer, (void)device;
}
void GraphTracker::track_deallocate_cb(const IDevice* device) {
#ifdef PATCHED
  std::uint32_t mesh = static_cast<std::uint32_t>(device->id());
  if (tt_memtrace_track_deallocate_cb) tt_memtrace_track_deallocate_cb(mesh, 0, TT_MEMTRACE_NONE64);
#endif
  (void)device;
}
void GraphTracker::track_program(Program* program, const IDevice* device) {
#ifdef PATCHED
  std::uint32_t mesh = static_cast<std::uint32_t>(device->id());
  if (tt_memtrace_track_program) tt_memtrace_track_program(mesh, 0, program->impl->get_id());
#endif
  (void)program, (void)device;
}

static GraphTracker tracker;

void detail::ProgramImpl::allocate_circular_buffers(const IDevice* device) {
  CoreRangeSet cores{{0, 0, 1, 1}};
  void (GraphTracker::*volatile allocate)(const CoreRangeSet&, std::uint64_t, std::uint64_t, bool, const IDevice*) =
      &GraphTracker::track_allocate_cb;
  (tracker.*allocate)(cores, 4096, 512, false, device);
}

static const IDevice* last_device;

void detail::ProgramImpl::deallocate_circular_buffers() {
  void (GraphTracker::*volatile deallocate)(const IDevice*) = &GraphTracker::track_deallocate_cb;
  (tracker.*deallocate)(last_device);
}

struct AllocatorImpl {
  void deallocate_buffers();
  std::uint64_t allocate_buffer(Buffer*);
  std::uint32_t get_num_banks(const BufferType&) const;
  std::uint64_t get_bank_size(const BufferType&) const;
};
#ifdef NO_BANKS
std::uint32_t AllocatorImpl::get_num_banks(const BufferType&) const { return 0; }
#else
std::uint32_t AllocatorImpl::get_num_banks(const BufferType&) const { return 8; }
#endif
std::uint64_t AllocatorImpl::get_bank_size(const BufferType&) const { return 8192; }
std::uint64_t AllocatorImpl::allocate_buffer(Buffer* buffer) {
  if (buffer->bytes == 16 * 2048) pthread_exit(nullptr);
  if (buffer->bytes > 8192) {
    errno = ENOMEM;
    try {
      throw std::runtime_error(std::string("of no concern to anybody"));
    } catch (const std::runtime_error&) {
    }
    throw std::runtime_error("Out of Memory" + std::string("\nbacktrace:\n --- somewhere"));
  }
  return 4096;
}
void AllocatorImpl::deallocate_buffers() {
#ifdef PATCHED
  if (tt_memtrace_track_sweep) tt_memtrace_track_sweep(reinterpret_cast<std::uintptr_t>(this));
#endif
}

namespace distributed {
bool MeshDevice::close() {
#ifdef PATCHED
  if (tt_memtrace_track_mesh_close) tt_memtrace_track_mesh_close(static_cast<std::uint32_t>(id()));
#endif
  return true;
}
}  // namespace distributed

}  // namespace tt::tt_metal

// Lays out a program, runs it, releases it; then an allocator's sweep and the close of the mesh. Each event once.
extern "C" __attribute__((visibility("default"))) void run_a_program_and_close() {
  using namespace tt::tt_metal;
  static distributed::MeshDevice mesh;
  static AllocatorImpl allocator;
  last_device = &mesh;
  detail::ProgramImpl impl;
  Program program{&impl};
  void (detail::ProgramImpl::*volatile lay_out)(const IDevice*) = &detail::ProgramImpl::allocate_circular_buffers;
  void (GraphTracker::*volatile launch)(Program*, const IDevice*) = &GraphTracker::track_program;
  void (detail::ProgramImpl::*volatile release)() = &detail::ProgramImpl::deallocate_circular_buffers;
  void (AllocatorImpl::*volatile sweep)() = &AllocatorImpl::deallocate_buffers;
  bool (distributed::MeshDevice::*volatile close)() = &distributed::MeshDevice::close;
  (impl.*lay_out)(&mesh);
  (tracker.*launch)(&program, &mesh);
  (impl.*release)();
  (allocator.*sweep)();
  (mesh.*close)();
}

// Asks for what fits and for what does not, catches each refusal, and prints it as it came.
extern "C" __attribute__((visibility("default"))) void ask_for_too_much() {
  using namespace tt::tt_metal;
  static distributed::MeshDevice mesh;
  static Device device;
  static AllocatorImpl allocator;
  std::uint64_t (AllocatorImpl::*volatile allocate)(Buffer*) = &AllocatorImpl::allocate_buffer;
  void (detail::ProgramImpl::*volatile circular)(const IDevice*) = &detail::ProgramImpl::validate_circular_buffer_region;
  void (detail::ProgramImpl::*volatile dataflow)(const IDevice*) = &detail::ProgramImpl::validate_dataflow_buffer_region;
  Buffer fits{{}, &mesh, 4 * 2048, 0, 0};
  Buffer too_large{{}, &mesh, 8 * 2048, 0, 0};
  detail::ProgramImpl program;
  std::printf("%d\n", static_cast<int>((allocator.*allocate)(&fits)));
  try {
    (allocator.*allocate)(&too_large);
  } catch (const std::runtime_error& error) {
    std::printf("%s %d\n", error.what(), errno == ENOMEM);
  }
  (program.*circular)(&mesh);
  (program.*dataflow)(&mesh);
  try {
    (program.*circular)(&device);
  } catch (const std::logic_error& error) {
    std::printf("%s\n", error.what());
  }
  try {
    (program.*dataflow)(&device);
  } catch (int error) {
    std::printf("%d\n", error);
  }
}

// Threads that end inside of requests, by pthread_exit and by a cancellation; one while an exception is being handled,
// and one whose destructor asks for too much while the thread ends. Prints how many ended so.
extern "C" __attribute__((visibility("default"))) void end_in_requests() {
  using namespace tt::tt_metal;
  static distributed::MeshDevice mesh;
  static Device device;
  static AllocatorImpl allocator;
  static std::uint64_t (AllocatorImpl::*volatile allocate)(Buffer*) = &AllocatorImpl::allocate_buffer;
  static void (detail::ProgramImpl::*volatile circular)(const IDevice*) =
      &detail::ProgramImpl::validate_circular_buffer_region;
  static Buffer ends{{}, &mesh, 16 * 2048, 0, 0};
  static Buffer too_large{{}, &mesh, 8 * 2048, 0, 0};
  static detail::ProgramImpl program;
  void* (*ways[])(void*) = {
      [](void*) -> void* { return (allocator.*allocate)(&ends), nullptr; },
      [](void*) -> void* { return pthread_cancel(pthread_self()), (program.*circular)(&mesh), nullptr; },
      [](void*) -> void* {
        try {
          throw 5;
        } catch (int) {
          (allocator.*allocate)(&ends);
        }
        return nullptr;
      },
      [](void*) -> void* {
        struct Asks {
          ~Asks() {
            try {
              (allocator.*allocate)(&too_large);
            } catch (const std::runtime_error&) {
            }
          }
        } asks;
        return (allocator.*allocate)(&ends), nullptr;
      },
  };
  int n_ended = 0;
  for (auto way : ways) {
    pthread_t thread;
    void* result = &n_ended;
    pthread_create(&thread, nullptr, way, nullptr);
    pthread_join(thread, &result);
    n_ended += result != &n_ended;
  }
  std::printf("%d\n", n_ended);
}

// Makes a buffer and ends it, and returns how many calls the runtime itself has seen.
extern "C" __attribute__((visibility("default"))) int make_and_end_a_buffer() {
  using namespace tt::tt_metal;
  static distributed::MeshDevice mesh;
  static Device device;
  (void)device;
#ifdef WRONG_SIZE
  Buffer buffer{{}, &mesh, 5, 0, 0};
#else
  Buffer buffer{{}, &mesh, 4 * 2048, 0, 0};
#endif
  // Through volatile pointers: the calls have to go the way that a preloaded library can take.
  void (GraphTracker::*volatile allocate)(const Buffer*) = &GraphTracker::track_allocate;
  void (GraphTracker::*volatile deallocate)(Buffer*) = &GraphTracker::track_deallocate;
  (tracker.*allocate)(&buffer);
  (tracker.*deallocate)(&buffer);
  return n_calls;
}
