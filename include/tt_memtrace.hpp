// The C++ side of tt-memtrace: names for what the program does, and calls that read the runtime's own objects.
// Header only, C++17. Nothing is linked: without the preloaded library each call is one test of a pointer.
//
//     tt_memtrace::phase prefill("prefill");                 // from here to the end of the block
//
//     void GraphTracker::track_allocate(const Buffer* buffer) {
//         tt_memtrace::hooks::allocate(buffer);              // in a build of the runtime that reports by itself
//
// Nothing here throws, whatever the runtime's accessors do, and nothing changes what the runtime does.
#ifndef TT_MEMTRACE_HPP
#define TT_MEMTRACE_HPP

#include "tt_memtrace.h"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <type_traits>
#include <vector>

// Put at namespace scope of one file of a runtime whose functions call `hooks`, in the library that has them:
// its buffers and circular buffers are then taken from these calls only.
#define TT_MEMTRACE_DEFINE_PATCHED_RUNTIME()                                                         \
    extern "C" __attribute__((visibility("default"))) const std::uint32_t tt_memtrace_patched_runtime; \
    __attribute__((used)) const std::uint32_t tt_memtrace_patched_runtime = 1

namespace tt::tt_metal::distributed {
class MeshDevice;  // the runtime's, here so that it has a name
}

namespace tt_memtrace {

// A named operation of this thread, until the end of the block. Operations nest.
class [[nodiscard]] function {
public:
    // `arguments`: any text.
    explicit function(std::string_view name, std::string_view arguments = {}) noexcept {
        if (tt_memtrace_track_function_start)
            tt_memtrace_track_function_start(name.data(), name.size(), arguments.data(), arguments.size());
    }
    ~function() {
        if (tt_memtrace_track_function_end) tt_memtrace_track_function_end();
    }
    function(const function&) = delete;
    function& operator=(const function&) = delete;
};

// A named part of the program's work, such as "prefill", until the end of the block. Phases nest.
class [[nodiscard]] phase {
public:
    explicit phase(std::string_view name) noexcept {
        if (tt_memtrace_phase_begin) tt_memtrace_phase_begin(name.data(), name.size());
    }
    ~phase() {
        if (tt_memtrace_phase_end) tt_memtrace_phase_end();
    }
    phase(const phase&) = delete;
    phase& operator=(const phase&) = delete;
};

// Puts a named mark into the capture. It waits for nothing: to read it in the file, call `tt_memtrace_flush` first.
inline void mark(const char* name) noexcept {
    if (tt_memtrace_mark) tt_memtrace_mark(name);
}

// Hidden, so that the symbols a runtime exports are what they were.
namespace [[gnu::visibility("hidden")]] detail {

// `read(object)` if the runtime's class has what it asks for, else `otherwise`.
template <class Value, class Object, class Read>
Value read_or([[maybe_unused]] Value otherwise, [[maybe_unused]] const Object& object, [[maybe_unused]] Read read) {
    if constexpr (std::is_invocable_v<Read, const Object&>)
        return static_cast<Value>(read(object));
    else
        return otherwise;
}

// Accessors of the runtime throw when they are asked too early or too late.
template <class Report>
void quietly(Report report) noexcept {
    try {
        report();
    } catch (...) {
    }
}

template <class Type, class = void>
struct is_complete : std::false_type {};
template <class Type>
struct is_complete<Type, std::void_t<decltype(sizeof(Type))>> : std::true_type {};

template <class Type, class = void>
struct is_smart : std::false_type {};
template <class Type>
struct is_smart<Type, std::void_t<typename Type::element_type>> : std::true_type {};

// What a raw pointer, a smart pointer or a reference names; may be null.
template <class Object>
auto named_by(const Object& object) noexcept {
    if constexpr (std::is_pointer_v<Object>)
        return static_cast<const std::remove_pointer_t<Object>*>(object);
    else if constexpr (is_smart<Object>::value)
        return static_cast<const typename Object::element_type*>(object.get());
    else
        return &object;
}

// The mesh that a device is, or null. A mesh's number is not a chip's.
template <class Device>
auto as_mesh(const Device* device) noexcept {
    // Dependent on Device, so that it is looked at where a hook is used.
    using Mesh = std::conditional_t<std::is_void_v<Device>, void, tt::tt_metal::distributed::MeshDevice>;
    static_assert(is_complete<Mesh>::value, "include <tt-metalium/mesh_device.hpp> before the call");
    if constexpr (std::is_convertible_v<const Device*, const Mesh*>)
        return static_cast<const Mesh*>(device);
    else
        return dynamic_cast<const Mesh*>(device);
}

struct place {
    std::uint32_t mesh_id = TT_MEMTRACE_NONE;
    std::uint32_t device_id = TT_MEMTRACE_NONE;

    bool is_known() const noexcept { return mesh_id != TT_MEMTRACE_NONE || device_id != TT_MEMTRACE_NONE; }
};

template <class Mesh>
void open_mesh(const Mesh& mesh) {
    const auto listed = mesh.get_device_ids();
    const std::vector<std::uint32_t> ids(listed.begin(), listed.end());
    std::uint32_t rows = 1, cols = static_cast<std::uint32_t>(ids.size());
    // Throws for a mesh of other than two dimensions.
    quietly([&] {
        const auto n_rows = static_cast<std::uint32_t>(mesh.num_rows());
        cols = static_cast<std::uint32_t>(mesh.num_cols());
        rows = n_rows;
    });
    const auto arch = read_or<std::uint32_t>(0, mesh, [](const auto& m) -> decltype(m.arch()) { return m.arch(); });
    tt_memtrace_track_mesh_open(static_cast<std::uint32_t>(mesh.id()), ids.data(), ids.size(), rows, cols, arch);
}

// One bit for each mesh whose devices have been told. Meshes beyond are told again, which changes nothing.
inline std::atomic<std::uint64_t> told_meshes[64];

template <class Mesh>
void tell_once(const Mesh& mesh, std::uint32_t mesh_id) {
    std::atomic<std::uint64_t>* told = mesh_id / 64 < 64 ? &told_meshes[mesh_id / 64] : nullptr;
    const std::uint64_t bit = std::uint64_t{1} << mesh_id % 64;
    if (told && told->load(std::memory_order_acquire) & bit) return;
    if (tt_memtrace_track_mesh_open) open_mesh(mesh);
    if (told) told->fetch_or(bit, std::memory_order_release);
}

// Where a device is. The devices of a mesh are told before the first event on it.
template <class Device>
place place_of(const Device* device) {
    if (const auto* mesh = as_mesh(device)) {
        const auto mesh_id = static_cast<std::uint32_t>(mesh->id());
        tell_once(*mesh, mesh_id);
        return {mesh_id, TT_MEMTRACE_NONE};
    }
    return {TT_MEMTRACE_NONE, static_cast<std::uint32_t>(device->id())};
}

// Views and circular buffers may end after their device, so there a device is looked up by its pointer, which is not
// followed. Devices beyond the last entry are not remembered.
struct seen_device {
    std::atomic<const void*> device;
    std::atomic<std::uint64_t> place;  // mesh in the upper half, chip in the lower
};
constexpr std::size_t n_seen_devices = 512;
inline seen_device seen_devices[n_seen_devices];

// The entry after `n` others that were not it.
inline seen_device& seen_entry(const void* device, std::size_t n) noexcept {
    const std::uint64_t mixed = reinterpret_cast<std::uintptr_t>(device) * 0x9e3779b97f4a7c15u;
    return seen_devices[((mixed >> 32) + n) % n_seen_devices];
}

inline void remember(const void* device, place where) noexcept {
    for (std::size_t n = 0; n < n_seen_devices; ++n) {
        seen_device& entry = seen_entry(device, n);
        const void* held = entry.device.load(std::memory_order_acquire);
        // Else another thread may have put in the same one just now.
        if (held == nullptr && entry.device.compare_exchange_strong(held, device)) held = device;
        if (held != device) continue;
        entry.place.store(std::uint64_t{where.mesh_id} << 32 | where.device_id, std::memory_order_release);
        return;
    }
}

inline place recall(const void* device) noexcept {
    for (std::size_t n = 0; n < n_seen_devices; ++n) {
        const seen_device& entry = seen_entry(device, n);
        const void* held = entry.device.load(std::memory_order_acquire);
        if (held == nullptr) break;
        if (held != device) continue;
        // 0 would be chip 0 of mesh 0, which no place is: another thread is about to write it.
        if (const std::uint64_t packed = entry.place.load(std::memory_order_acquire))
            return {static_cast<std::uint32_t>(packed >> 32), static_cast<std::uint32_t>(packed)};
    }
    return {};
}

template <class Pointer>
std::uint64_t number_of(const Pointer* object) noexcept {
    return object ? reinterpret_cast<std::uintptr_t>(object) : TT_MEMTRACE_NONE64;
}

// A buffer is reported while it holds memory on a device: not if it has no bytes, is not allocated or is no longer, nor
// if a graph capture swallowed it, which leaves it at address 0.
template <class Buffer>
bool describe(const Buffer& buffer, tt_memtrace_buffer& described) {
    if (!read_or<bool>(true, buffer, [](const auto& b) -> decltype(b.is_allocated()) { return b.is_allocated(); }))
        return false;
    described.struct_size = sizeof described;
    described.buffer_type = static_cast<std::uint32_t>(buffer.buffer_type());
    described.address = static_cast<std::uint64_t>(buffer.address());
    described.size_bytes = static_cast<std::uint64_t>(buffer.size());
    described.unique_id = read_or<std::uint64_t>(
        TT_MEMTRACE_NONE64, buffer, [](const auto& b) -> decltype(b.unique_id()) { return b.unique_id(); });
    return described.address != 0 && described.size_bytes != 0 && buffer.device() != nullptr;
}

inline void put(place where, tt_memtrace_buffer& described) noexcept {
    described.mesh_id = where.mesh_id;
    described.device_id = where.device_id;
}

// Not inlined: a runtime's function grows by a test and a call.
template <class Buffer>
[[gnu::noinline]] void report_allocation(const Buffer* buffer, std::uint32_t flags) noexcept {
    quietly([&] {
        tt_memtrace_buffer described = {};
        if (buffer == nullptr || !describe(*buffer, described)) return;
        const place where = place_of(buffer->device());
        if (flags & TT_MEMTRACE_VIEW) remember(buffer->device(), where);
        put(where, described);
        described.flags = flags;
        described.buffer_layout = read_or<std::uint32_t>(
            0, *buffer, [](const auto& b) -> decltype(b.buffer_layout()) { return b.buffer_layout(); });
        described.page_size_bytes = read_or<std::uint64_t>(
            0, *buffer, [](const auto& b) -> decltype(b.page_size()) { return b.page_size(); });
        described.per_bank_bytes = read_or<std::uint64_t>(
            described.size_bytes, *buffer,
            [](const auto& b) -> decltype(b.aligned_size_per_bank()) { return b.aligned_size_per_bank(); });
        described.allocator = read_or<std::uint64_t>(
            TT_MEMTRACE_NONE64, *buffer,
            [](const auto& b) -> decltype(number_of(b.allocator())) { return number_of(b.allocator()); });
        tt_memtrace_track_allocate(&described);
    });
}

template <class Buffer>
[[gnu::noinline]] void report_deallocation(const Buffer* buffer) noexcept {
    quietly([&] {
        tt_memtrace_buffer described = {};
        if (buffer == nullptr || !describe(*buffer, described)) return;
        put(place_of(buffer->device()), described);
        tt_memtrace_track_deallocate(&described);
    });
}

template <class Buffer>
[[gnu::noinline]] void report_end_of_view(const Buffer* buffer) noexcept {
    quietly([&] {
        tt_memtrace_buffer described = {};
        if (buffer == nullptr || !describe(*buffer, described)) return;
        const place where = recall(buffer->device());
        if (!where.is_known()) return;
        put(where, described);
        tt_memtrace_track_deallocate(&described);
    });
}

// A CoreRange, whose corners have had two names.
template <class Range>
tt_memtrace_core_range rectangle(const Range& range) {
    const auto corners = [](const auto& first, const auto& last) {
        return tt_memtrace_core_range{
            static_cast<std::uint32_t>(first.x), static_cast<std::uint32_t>(first.y),
            static_cast<std::uint32_t>(last.x), static_cast<std::uint32_t>(last.y)};
    };
    auto has_coords = [](const auto& r) -> decltype(r.start_coord) { return r.start_coord; };
    if constexpr (std::is_invocable_v<decltype(has_coords), const Range&>)
        return corners(range.start_coord, range.end_coord);
    else
        return corners(range.start, range.end);
}

// A program's number, unique in the process: of a `Program` or of its `ProgramImpl`.
template <class Program>
std::uint64_t program_number(const Program& program) {
    auto own = [](const auto& p) -> decltype(p.get_id()) { return p.get_id(); };
    auto inner = [](const auto& p) -> decltype(p.impl().get_id()) { return p.impl().get_id(); };
    constexpr bool has_own = std::is_invocable_v<decltype(own), const Program&>;
    static_assert(
        has_own || std::is_invocable_v<decltype(inner), const Program&>,
        "include \"impl/program/program_impl.hpp\" before the call");
    if constexpr (has_own)
        return static_cast<std::uint64_t>(own(program));
    else
        return static_cast<std::uint64_t>(inner(program));
}

// The program whose circular buffers are being laid out or released on this thread.
inline thread_local std::uint64_t owner = TT_MEMTRACE_NONE64;

}  // namespace detail

// What the runtime's functions call, each in the function it is named after. A call does nothing where its object is
// null or holds no memory. `allocate`, `deallocate`, `view` and `end_view` allocate nothing themselves, but for the
// first event of a mesh.
namespace [[gnu::visibility("hidden")]] hooks {

// In GraphTracker::track_allocate: after the allocator has answered.
template <class Buffer>
void allocate(const Buffer* buffer) noexcept {
    if (tt_memtrace_track_allocate) detail::report_allocation(buffer, 0);
}

// In GraphTracker::track_deallocate: before the allocator takes back.
template <class Buffer>
void deallocate(const Buffer* buffer) noexcept {
    if (tt_memtrace_track_deallocate) detail::report_deallocation(buffer);
}

// In the factory that is given an address: its buffer owns nothing. Takes a pointer of any kind, or a reference.
template <class Pointer>
void view(const Pointer& buffer) noexcept {
    if (tt_memtrace_track_allocate) detail::report_allocation(detail::named_by(buffer), TT_MEMTRACE_VIEW);
}

// Where such a buffer ends, before its state says so. The device may be gone.
template <class Pointer>
void end_view(const Pointer& buffer) noexcept {
    if (tt_memtrace_track_deallocate) detail::report_end_of_view(detail::named_by(buffer));
}

// In ProgramImpl::allocate_circular_buffers and deallocate_circular_buffers, for the length of the function: tells
// `allocate_cb` and `deallocate_cb` whose they are. Without it a release is taken for that of every program.
class [[nodiscard]] circular_buffers_of {
public:
    template <class Program>
    explicit circular_buffers_of(const Program& program) noexcept : before_(detail::owner) {
        if (tt_memtrace_track_allocate_cb)
            detail::quietly([&] { detail::owner = detail::program_number(*detail::named_by(program)); });
    }
    ~circular_buffers_of() { detail::owner = before_; }
    circular_buffers_of(const circular_buffers_of&) = delete;
    circular_buffers_of& operator=(const circular_buffers_of&) = delete;

private:
    const std::uint64_t before_;
};

// In GraphTracker::track_allocate_cb.
template <class CoreRangeSet, class Device>
void allocate_cb(
    const CoreRangeSet& cores, std::uint64_t address, std::uint64_t size_bytes, bool is_globally_allocated,
    const Device* device) noexcept {
    if (!tt_memtrace_track_allocate_cb) return;
    detail::quietly([&] {
        if (device == nullptr) return;
        const detail::place where = detail::place_of(device);
        detail::remember(device, where);
        const auto& all = cores.ranges();
        // No vector: its functions would be symbols of the runtime's.
        const std::unique_ptr<tt_memtrace_core_range[]> ranges(new tt_memtrace_core_range[all.size()]);
        std::size_t n_ranges = 0;
        for (const auto& range : all) ranges[n_ranges++] = detail::rectangle(range);
        tt_memtrace_circular_buffer described = {};
        described.struct_size = sizeof described;
        described.mesh_id = where.mesh_id;
        described.device_id = where.device_id;
        described.globally_allocated = is_globally_allocated;
        described.program = detail::owner;
        described.address = address;
        described.size_bytes = size_bytes;
        described.core_ranges = ranges.get();
        described.n_core_ranges = n_ranges;
        tt_memtrace_track_allocate_cb(&described);
    });
}

// In GraphTracker::track_deallocate_cb. The device may be gone.
template <class Device>
void deallocate_cb(const Device* device) noexcept {
    if (!tt_memtrace_track_deallocate_cb) return;
    const detail::place where = detail::recall(device);
    // With neither there is nothing to say: it would release everything everywhere.
    if (where.is_known() || detail::owner != TT_MEMTRACE_NONE64)
        tt_memtrace_track_deallocate_cb(where.mesh_id, where.device_id, detail::owner);
}

// In GraphTracker::track_program: a launch.
template <class Program, class Device>
void program(const Program* program, const Device* device) noexcept {
    if (!tt_memtrace_track_program) return;
    detail::quietly([&] {
        if (program == nullptr || device == nullptr) return;
        const detail::place where = detail::place_of(device);
        tt_memtrace_track_program(where.mesh_id, where.device_id, detail::program_number(*program));
    });
}

// In the destructor of a program: what is left of its circular buffers ends, wherever they are.
template <class Program>
void program_end(const Program& program) noexcept {
    if (!tt_memtrace_track_deallocate_cb) return;
    detail::quietly([&] {
        const std::uint64_t number = detail::program_number(*detail::named_by(program));
        tt_memtrace_track_deallocate_cb(TT_MEMTRACE_NONE, TT_MEMTRACE_NONE, number);
    });
}

// Where a mesh has been opened. Not needed for figures: the first event on a mesh tells the same.
template <class Mesh>
void mesh_open(const Mesh* mesh) noexcept {
    if (!tt_memtrace_track_mesh_open) return;
    detail::quietly([&] {
        if (mesh) detail::tell_once(*mesh, static_cast<std::uint32_t>(mesh->id()));
    });
}

// Where a mesh has been closed, and with it everything on it.
template <class Mesh>
void mesh_close(const Mesh* mesh) noexcept {
    if (!tt_memtrace_track_mesh_close) return;
    detail::quietly([&] {
        if (mesh) tt_memtrace_track_mesh_close(static_cast<std::uint32_t>(mesh->id()));
    });
}

// Where an allocator gives up everything it holds, such as AllocatorImpl::deallocate_buffers.
template <class Allocator>
void sweep(const Allocator* allocator) noexcept {
    if (tt_memtrace_track_sweep && allocator) tt_memtrace_track_sweep(detail::number_of(allocator));
}

}  // namespace hooks
}  // namespace tt_memtrace

#endif  // TT_MEMTRACE_HPP
