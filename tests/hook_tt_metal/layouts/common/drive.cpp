// Uses every layout in the same way and tells what came of it.
#include <cstdio>

#include <buffer.hpp>
#include <device.hpp>
#include <graph_tracking.hpp>
#include <mesh_device.hpp>
#include <program.hpp>

using namespace tt::tt_metal;

int main() {
    distributed::MeshDevice mesh;
    std::printf("open %d\n", mesh.initialize(1, false));
    Device chip;
    auto& tracker = GraphTracker::instance();
    {
        auto owner = Buffer::create(&mesh, DeviceAddr{4096}, DeviceAddr{1024}, BufferType::L1);
        auto view = Buffer::create(&chip, DeviceAddr{64}, DeviceAddr{2048}, DeviceAddr{1024}, BufferType::L1);
        std::printf("at %d and %d\n", static_cast<int>(owner->address()), static_cast<int>(view->address()));
        Program program;
        program.run(&mesh, &chip);
    }
    std::printf("close %d, calls %d\n", mesh.close(), tracker.calls);
}
