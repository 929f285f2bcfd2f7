// What include/tt_memtrace.hpp promises, on shapes that the runtime's classes have had: it reads what is there, asks
// nothing that would throw, allocates no memory, and throws nothing. Prints `ok`, or the line that is wrong.
#include "tt_memtrace.hpp"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <new>
#include <set>
#include <stdexcept>

namespace hooks = tt_memtrace::hooks;

static bool counts_news = false;
static int n_news = 0;
// Not inlined: compilers know what belongs to `new`, and complain where they see through it.
[[gnu::noinline]] void* operator new(std::size_t size) {
    if (counts_news) ++n_news;
    if (void* memory = std::malloc(size)) return memory;
    throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace tt::tt_metal {

struct IDevice {
    virtual ~IDevice() = default;
    virtual int id() const = 0;
};

namespace distributed {
class MeshDevice : public IDevice {
public:
    explicit MeshDevice(int id, bool is_flat = true) : id_(id), is_flat_(is_flat) {}
    int id() const override { return id_; }
    std::vector<int> get_device_ids() const { return {4, 0, 5}; }
    std::size_t num_rows() const { return is_flat_ ? 1 : throw std::logic_error("not of two dimensions"); }
    std::size_t num_cols() const { return 3; }

private:
    int id_;
    bool is_flat_;
};
}  // namespace distributed
}  // namespace tt::tt_metal

using tt::tt_metal::IDevice;
using tt::tt_metal::distributed::MeshDevice;

namespace {

struct Chip final : IDevice {
    int number;
    explicit Chip(int id) : number(id) {}
    int id() const override { return number; }
};

enum class BufferType { DRAM, L1 };
enum class Layout { INTERLEAVED, SINGLE_BANK, HEIGHT_SHARDED };

// Only what every generation has.
struct LeastBuffer {
    IDevice* on;
    std::uint64_t at, bytes;
    IDevice* device() const { return on; }
    std::uint64_t address() const { return at; }
    std::uint64_t size() const { return bytes; }
    BufferType buffer_type() const { return BufferType::L1; }
};

// As it is today, with an address that throws before there is one.
struct FullBuffer {
    IDevice* on;
    std::uint64_t at, bytes;
    bool is_there = true;
    static inline int n_wrong_questions = 0;
    IDevice* device() const { return on; }
    std::uint32_t address() const {
        if (!is_there) ++n_wrong_questions;
        return static_cast<std::uint32_t>(at);
    }
    std::uint64_t size() const { return bytes; }
    std::uint64_t page_size() const { return 512; }
    std::uint64_t aligned_size_per_bank() const { return bytes / 4; }
    BufferType buffer_type() const { return BufferType::DRAM; }
    Layout buffer_layout() const { return Layout::HEIGHT_SHARDED; }
    bool is_allocated() const { return is_there; }
    std::size_t unique_id() const { return 77; }
    const int* allocator() const { return &n_wrong_questions; }
};

struct ThrowingBuffer : FullBuffer {
    std::uint64_t size() const { throw std::runtime_error("no size"); }
};

struct Coord {
    std::size_t x, y;
};
struct OldRange {
    Coord start, end;
    bool operator<(const OldRange& other) const { return start.x < other.start.x; }
};
struct OldRanges {
    std::set<OldRange> ranges() const { return {{{0, 1}, {2, 3}}, {{4, 5}, {6, 7}}}; }
};
struct NewRange {
    Coord start_coord, end_coord;
};
struct NewRanges {
    const std::vector<NewRange>& ranges() const { return all; }
    std::vector<NewRange> all;
};
struct OldProgram {
    std::uint64_t get_id() const { return 5; }
};
struct ProgramImpl {
    std::uint64_t get_id() const { return 6; }
};
struct NewProgram {
    ProgramImpl inner;
    const ProgramImpl& impl() const { return inner; }
};

int check(bool is_right, int line) {
    if (is_right) return 0;
    std::printf("line %d\n", line);
    std::exit(1);
}
#define CHECK(claim) check(claim, __LINE__)

void buffers() {
    MeshDevice mesh(3), deep(4, false);
    Chip chip(3);
    const LeastBuffer least{&chip, 0x1000, 11};
    FullBuffer full{&mesh, 0x2000, 2048};
    const FullBuffer empty{&mesh, 0x2000, 0}, swallowed{&mesh, 0, 2048}, nowhere{nullptr, 0x2000, 2048},
        gone{&mesh, 0x2000, 2048, false}, on_deep{&deep, 0x3000, 4096};
    const ThrowingBuffer throwing{};
    hooks::allocate(&least);
    hooks::allocate(&full);
    hooks::allocate(&on_deep);
    const FullBuffer* const null = nullptr;
    counts_news = true;
    errno = 42;
    for (int i = 0; i < 100; ++i) {
        hooks::allocate(&full);
        hooks::deallocate(&full);
        hooks::view(full);
        hooks::end_view(&full);
    }
    for (const FullBuffer* nothing : {null, &empty, &swallowed, &gone}) {
        hooks::allocate(nothing);
        hooks::deallocate(nothing);
        hooks::view(nothing);
        hooks::end_view(nothing);
    }
    counts_news = false;
    CHECK(errno == 42);
    CHECK(n_news == 0);
    CHECK(FullBuffer::n_wrong_questions == 0);
    auto closing = std::make_unique<Chip>(6);
    FullBuffer late{closing.get(), 0x4000, 1024};
    hooks::view(late);
    const Chip unknown(7);
    const FullBuffer untold{const_cast<Chip*>(&unknown), 0x5000, 1024};
    closing->number = 1000;  // Whoever asks it now is told so.
    hooks::end_view(late);
    closing.reset();
    hooks::end_view(late);
    hooks::end_view(untold);
    hooks::allocate(&nowhere);
    hooks::allocate(&throwing);
    hooks::deallocate(&throwing);
    hooks::view(std::make_shared<FullBuffer>(full));
    hooks::view(std::shared_ptr<FullBuffer>());
}

void programs() {
    auto chip = std::make_unique<Chip>(8);
    const Chip unseen(9);
    const IDevice* const device = chip.get();
    const IDevice* volatile gone = device;  // Volatile: compilers would complain that it is used below.
    const OldProgram old_program;
    const NewProgram new_program{};
    hooks::deallocate_cb(&unseen);
    {
        const hooks::circular_buffers_of owner(old_program);
        hooks::allocate_cb(OldRanges(), 100, 101, false, device);
        {
            const hooks::circular_buffers_of inner(&new_program);
            hooks::allocate_cb(NewRanges{{{{1, 1}, {2, 2}}}}, 200, 202, true, device);
        }
        hooks::allocate_cb(OldRanges(), 300, 303, false, device);
    }
    hooks::program(&old_program, device);
    hooks::program(&new_program, device);
    chip.reset();  // Its pointer is still known; it must not be followed.
    {
        const hooks::circular_buffers_of owner(new_program.impl());
        hooks::deallocate_cb(gone);
    }
    hooks::program_end(old_program);
    const int allocator = 0;
    hooks::sweep(&allocator);
    const MeshDevice mesh(3);
    hooks::mesh_open(&mesh);
    hooks::mesh_close(&mesh);
}

void names() {
    const tt_memtrace::phase phase("prefill");
    const tt_memtrace::function function("add", "(1, 32)");
    const auto inner = tt_memtrace::function(std::string_view("matmul and more", 6));
    tt_memtrace::mark("a mark");
}

static_assert(noexcept(hooks::allocate(static_cast<const FullBuffer*>(nullptr))), "no call throws");
static_assert(noexcept(hooks::view(std::declval<std::shared_ptr<FullBuffer>>())), "no call throws");

}  // namespace

int main() {
    buffers();
    programs();
    names();
    std::puts("ok");
}
