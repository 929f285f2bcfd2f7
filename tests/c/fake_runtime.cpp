// A fake of the runtime's library, as small as the recorder's questions are: its symbols have the names and its
// objects the layout of ttnn's. It stands in where a runtime is needed that no wheel has: one with a symbol
// missing, or with fields that do not hold what they should.
//
//   -DACCESSORS    the generation from 0.80: every fact has an accessor; without: facts are fields
//   -DNO_PER_BANK  a mandatory accessor is missing
//   -DWRONG_SIZE   the size is not pages times page size, as if the fields had moved
#include <cstdint>
#include <vector>

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
std::uint32_t Buffer::address() const { return 4096; }
bool Buffer::is_allocated() const { return true; }
std::uint64_t Buffer::page_size() const { return 2048; }
std::uint64_t Buffer::num_pages() const { return 4; }
bool Buffer::is_dram() const { return true; }
bool Buffer::is_l1() const { return false; }
#ifndef NO_PER_BANK
std::uint64_t Buffer::aligned_size_per_bank() const { return 2048; }
#endif
#ifdef ACCESSORS
std::uint64_t Buffer::size() const { return bytes; }
int Buffer::buffer_type() const { return 0; }
int Buffer::buffer_layout() const { return 0; }
IDevice* Buffer::device() const { return of; }
std::uint64_t Buffer::unique_id() const { return 42; }
#endif

int n_calls = 0;

struct GraphTracker {
  void track_allocate(const Buffer*);
  void track_deallocate(Buffer*);
};
void GraphTracker::track_allocate(const Buffer*) { n_calls++; }
void GraphTracker::track_deallocate(Buffer*) { n_calls++; }

}  // namespace tt::tt_metal

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
  GraphTracker tracker;
  void (GraphTracker::*volatile allocate)(const Buffer*) = &GraphTracker::track_allocate;
  void (GraphTracker::*volatile deallocate)(Buffer*) = &GraphTracker::track_deallocate;
  (tracker.*allocate)(&buffer);
  (tracker.*deallocate)(&buffer);
  return n_calls;
}
