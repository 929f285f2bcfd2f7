// Stands in for the real adapter: tells which call came, and needs complete types as the real one does.
#pragma once

#include <cstdio>

namespace tt_memtrace::hooks {
template <class Buffer>
void allocate(const Buffer* buffer) {
    std::fprintf(stderr, "allocate %d on %d\n", static_cast<int>(buffer->address()), buffer->device()->id());
}
template <class Buffer>
void deallocate(const Buffer* buffer) {
    std::fprintf(stderr, "deallocate %d on %d\n", static_cast<int>(buffer->address()), buffer->device()->id());
}
template <class Cores, class Device>
void allocate_cb(const Cores& cores, unsigned long address, unsigned long size, bool in_buffer, const Device* device) {
    std::fprintf(stderr, "allocate_cb %d cores %lu %lu %d on %d\n", cores.cores, address, size, in_buffer, device->id());
}
template <class Device>
void deallocate_cb(const Device* device) {
    std::fprintf(stderr, "deallocate_cb on %d\n", device->id());
}
template <class Program, class Device>
void program(const Program* program, const Device* device) {
    std::fprintf(stderr, "program %d on %d\n", sizeof(*program) != 0, device->id());
}
template <class Pointer>
void view(const Pointer& buffer) {
    std::fprintf(stderr, "view %d on %d\n", static_cast<int>(buffer->address()), buffer->device()->id());
}
template <class Buffer>
void end_view(const Buffer& buffer) {
    std::fprintf(stderr, "end_view %d\n", static_cast<int>(buffer.address()));
}
template <class Program>
void program_end(const Program& program) {
    std::fprintf(stderr, "program_end %d\n", sizeof(program) != 0);
}
template <class Mesh>
void mesh_open(const Mesh* mesh) {
    std::fprintf(stderr, "mesh_open %d\n", mesh->id());
}
template <class Mesh>
void mesh_close(const Mesh* mesh) {
    std::fprintf(stderr, "mesh_close %d\n", mesh->id());
}
}  // namespace tt_memtrace::hooks

#define TT_MEMTRACE_DEFINE_PATCHED_RUNTIME() extern "C" int tt_memtrace_patched_runtime; int tt_memtrace_patched_runtime = 1
