#pragma once

namespace tt::tt_metal {
struct IDevice {
    virtual ~IDevice() = default;
    virtual int id() const = 0;
};

struct Device : IDevice {
    int id() const override { return 4; }
};
}  // namespace tt::tt_metal
