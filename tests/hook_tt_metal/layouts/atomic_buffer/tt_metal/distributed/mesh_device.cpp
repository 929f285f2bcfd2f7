#include <mesh_device.hpp>

namespace tt::tt_metal::distributed {

int MeshDevice::id() const { return 1; }

bool MeshDevice::initialize(int num_hw_cqs, bool minimal) {
    open_ = num_hw_cqs > 0 && !minimal;
    return open_;
}

bool MeshDevice::close() {
    open_ = false;
    return true;
}

}  // namespace tt::tt_metal::distributed
