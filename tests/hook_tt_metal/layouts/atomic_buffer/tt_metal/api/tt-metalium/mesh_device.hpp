#pragma once

#include "device.hpp"

namespace tt::tt_metal::distributed {
class MeshDevice : public IDevice {
public:
    int id() const override;
    bool initialize(int num_hw_cqs, bool minimal);
    bool close();

private:
    bool open_ = false;
};
}  // namespace tt::tt_metal::distributed
