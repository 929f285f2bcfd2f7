#pragma once

#include <vector>

#include "device.hpp"

namespace tt::tt_metal::distributed {
class MeshDevice : public IDevice {
public:
    int id() const override;
    std::vector<int> get_device_ids() const { return {4, 5}; }
    int num_rows() const { return 1; }
    int num_cols() const { return 2; }
    bool initialize(int num_hw_cqs, bool minimal);
    bool close();

private:
    bool open_ = false;
};
}  // namespace tt::tt_metal::distributed
