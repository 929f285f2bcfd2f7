#pragma once

#include <memory>

#include "device.hpp"

namespace tt::tt_metal::distributed {
class MeshDeviceImpl;

class MeshDevice : public IDevice {
public:
    MeshDevice();
    ~MeshDevice() override;
    int id() const override;
    bool initialize(int num_hw_cqs, bool minimal);
    bool close();

private:
    std::unique_ptr<MeshDeviceImpl> pimpl_;
};
}  // namespace tt::tt_metal::distributed
