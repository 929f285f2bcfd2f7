#pragma once

#include <memory>
#include <vector>

#include "device.hpp"

namespace tt::tt_metal::distributed {
class MeshDeviceImpl;

class MeshDevice : public IDevice {
public:
    MeshDevice();
    ~MeshDevice() override;
    int id() const override;
    std::vector<int> get_device_ids() const { return {4, 5}; }
    int num_rows() const { return 1; }
    int num_cols() const { return 2; }
    bool initialize(int num_hw_cqs, bool minimal);
    bool close();

private:
    std::unique_ptr<MeshDeviceImpl> pimpl_;
};
}  // namespace tt::tt_metal::distributed
