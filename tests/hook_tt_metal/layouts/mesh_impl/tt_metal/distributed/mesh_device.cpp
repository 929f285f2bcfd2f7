#include <mesh_device.hpp>

#include <stdexcept>

namespace tt::tt_metal::distributed {

class MeshDeviceImpl {
public:
    int id() const { return 1; }
    bool initialize(int num_hw_cqs, bool minimal);
    bool initialize_impl(MeshDevice* pimpl_wrapper, int num_hw_cqs, bool minimal);
    bool close();
    bool close_impl(MeshDevice* pimpl_wrapper);

private:
    bool open_ = false;
};

bool MeshDeviceImpl::initialize(const int /*num_hw_cqs*/, bool /*minimal*/) {
    throw std::logic_error("use initialize_impl");
}

bool MeshDeviceImpl::initialize_impl(
    MeshDevice* pimpl_wrapper,
    const int num_hw_cqs,
    bool /*minimal*/) {
    if (num_hw_cqs == 0) {
        return false;
    }
    open_ = pimpl_wrapper->id() == id();
    return true;
}

bool MeshDeviceImpl::close() { throw std::logic_error("use close_impl"); }

bool MeshDeviceImpl::close_impl(MeshDevice* pimpl_wrapper) {
    for (int cq_id = 0; cq_id < 2; cq_id++) {
        if (pimpl_wrapper == nullptr) {
            throw std::logic_error("in use");
        }
    }
    open_ = false;

    return true;
}

MeshDevice::MeshDevice() : pimpl_(std::make_unique<MeshDeviceImpl>()) {}
MeshDevice::~MeshDevice() = default;
int MeshDevice::id() const { return pimpl_->id(); }
bool MeshDevice::initialize(
    int num_hw_cqs,
    bool minimal) {
    return pimpl_->initialize_impl(this, num_hw_cqs, minimal);
}
bool MeshDevice::close() { return pimpl_->close_impl(this); }

}  // namespace tt::tt_metal::distributed
