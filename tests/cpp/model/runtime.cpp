// A model of the runtime: it gives addresses and keeps lifetimes as the real one does, moves no data, and reports
// through include/tt_memtrace.hpp as a patched build would.
#include "graph_tracking.hpp"
#include "tt_memtrace.hpp"

#include <algorithm>

namespace hooks = tt_memtrace::hooks;

TT_MEMTRACE_DEFINE_PATCHED_RUNTIME();

namespace tt::tt_metal {

using distributed::MeshBuffer;
using distributed::MeshDevice;
using ViewEnd = Generation::ViewEnd;

// --- what is told -----------------------------------------------------------------------------------------

static bool is_told(const Buffer& buffer) {
    return generation().reports_mesh || dynamic_cast<const MeshDevice*>(buffer.device()) == nullptr;
}

void GraphTracker::track_allocate(const Buffer* buffer) {
    if (is_told(*buffer)) hooks::allocate(buffer);
}

void GraphTracker::track_deallocate(Buffer* buffer) {
    if (is_told(*buffer)) hooks::deallocate(buffer);
}

void GraphTracker::track_allocate_cb(
    const CoreRangeSet& cores, std::uint64_t address, std::uint64_t size, bool is_globally_allocated,
    const IDevice* device) {
    hooks::allocate_cb(cores, address, size, is_globally_allocated, device);
}

void GraphTracker::track_deallocate_cb(const IDevice* device) { hooks::deallocate_cb(device); }

void GraphTracker::track_program(Program* program, const IDevice* device) { hooks::program(program, device); }

// --- allocator --------------------------------------------------------------------------------------------

DeviceAddr Allocator::allocate_buffer(Buffer* buffer) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto address = banks_.at(buffer->buffer_type()).allocate(buffer->aligned_size_per_bank());
    if (!address) throw std::runtime_error("out of memory");
    allocated_[buffer] = *address;
    return *address;
}

void Allocator::deallocate_buffer(Buffer* buffer) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const auto allocated = allocated_.find(buffer);
    if (allocated == allocated_.end()) return;
    banks_.at(buffer->buffer_type()).deallocate(allocated->second);
    allocated_.erase(allocated);
}

void Allocator::deallocate_buffers() {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (generation().reports_swept)
        for (const auto& [buffer, address] : allocated_) GraphTracker::track_deallocate(buffer);
    hooks::sweep(this);
    for (const auto& [buffer, address] : allocated_) banks_.at(buffer->buffer_type()).deallocate(address);
    allocated_.clear();
}

std::map<BufferType, Totals> Allocator::totals() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    std::map<BufferType, Totals> totals;
    for (const auto& [buffer, address] : allocated_)
        totals[buffer->buffer_type()] += {1, buffer->size(), buffer->aligned_size_per_bank()};
    return totals;
}

// --- devices ----------------------------------------------------------------------------------------------

void Device::close() {
    allocator_->deallocate_buffers();
    is_initialized_ = false;
}

MeshDevice::MeshDevice(std::vector<std::shared_ptr<Device>> devices, std::size_t rows, std::size_t cols)
    : IDevice(0x100040), devices_(std::move(devices)), rows_(rows), cols_(cols) {
    hooks::mesh_open(this);
}

MeshDevice::~MeshDevice() {
    if (is_initialized_) close();
}

std::vector<int> MeshDevice::get_device_ids() const {
    std::vector<int> ids;
    for (const auto& device : devices_) ids.push_back(device->id());
    return ids;
}

std::vector<IDevice*> MeshDevice::get_devices() const {
    std::vector<IDevice*> devices;
    for (const auto& device : devices_) devices.push_back(device.get());
    return devices;
}

std::unique_ptr<MeshDevice> MeshDevice::create_submesh(std::size_t rows, std::size_t cols) const {
    const auto end = devices_.begin() + static_cast<std::ptrdiff_t>(rows * cols);
    auto submesh = std::make_unique<MeshDevice>(std::vector(devices_.begin(), end), rows, cols);
    submesh->owns_devices_ = false;
    return submesh;
}

void MeshDevice::close() {
    clear_program_cache();
    allocator_->deallocate_buffers();
    if (owns_devices_)
        for (const auto& device : devices_) device->close();
    is_initialized_ = false;
    hooks::mesh_close(this);
}

Program& MeshDevice::cached_program(const std::string& name) {
    const std::lock_guard<std::mutex> lock(cache_mutex_);
    auto& program = program_cache_[name];
    if (!program) {
        program = std::make_unique<Program>();
        const DeviceAddr bytes = 2048 * (1 + name.size() % 3);
        const CoreRangeSet cores(std::vector<CoreRange>{{{0, 0}, {7, 6}}, {{0, 7}, {3, 7}}});
        program->add_circular_buffer(cores, bytes);
        program->add_circular_buffer(cores, 2 * bytes);
        program->add_circular_buffer(CoreRangeSet(std::vector<CoreRange>{{{0, 0}, {0, 0}}}), bytes, true);
    }
    return *program;
}

void MeshDevice::clear_program_cache() {
    const std::lock_guard<std::mutex> lock(cache_mutex_);
    program_cache_.clear();
}

// --- buffers ----------------------------------------------------------------------------------------------

Buffer::Buffer(IDevice* device, const BufferShape& shape, bool owns_data, Private)
    : device_(device), shape_(shape), owns_data_(owns_data) {}

std::shared_ptr<Buffer> Buffer::create(IDevice* device, const BufferShape& shape) {
    auto buffer = std::make_shared<Buffer>(device, shape, true, Private());
    if (shape.size > 0) buffer->address_ = buffer->allocator()->allocate_buffer(buffer.get());
    buffer->status_ = Status::Allocated;
    if (shape.size > 0) GraphTracker::track_allocate(buffer.get());
    return buffer;
}

std::shared_ptr<Buffer> Buffer::create(IDevice* device, DeviceAddr address, const BufferShape& shape) {
    auto buffer = std::make_shared<Buffer>(device, shape, false, Private());
    buffer->address_ = address;
    buffer->status_ = Status::Allocated;
    if (generation().reports_views && is_told(*buffer)) hooks::view(buffer);
    return buffer;
}

Buffer::~Buffer() {
    if (!owns_data_ && generation().view_end == ViewEnd::WithObject) hooks::end_view(*this);
    deallocate();
}

std::shared_ptr<Buffer> Buffer::view(DeviceAddr size) {
    if (size == shape_.size) return shared_from_this();
    BufferShape part = shape_;
    part.size = size;
    auto view = create(device_, address_, part);
    view->root_ = shared_from_this();
    return view;
}

void Buffer::deallocate() {
    if (status_ != Status::Allocated) return;
    if (!owns_data_) {
        const ViewEnd end = generation().view_end;
        if ((end == ViewEnd::BeforeOwner || end == ViewEnd::AfterOwner) && is_told(*this)) hooks::end_view(this);
    } else if (shape_.size > 0 && device_->is_initialized()) {
        GraphTracker::track_deallocate(this);
        allocator()->deallocate_buffer(this);
    }
    status_ = Status::Deallocated;
}

DeviceAddr Buffer::aligned_size_per_bank() const {
    if (shape_.size == 0) return 0;
    const bool is_sharded = shape_.layout >= TensorMemoryLayout::HEIGHT_SHARDED;
    const DeviceAddr n_banks = is_sharded ? shape_.n_cores : allocator()->get_num_banks(shape_.type);
    const DeviceAddr n_pages = shape_.size / shape_.page_size;
    const DeviceAddr alignment = shape_.type == BufferType::DRAM || shape_.type == BufferType::TRACE ? 32 : 16;
    return (n_pages + n_banks - 1) / n_banks * round_up(shape_.page_size, alignment);
}

std::uint32_t Buffer::address() const {
    if (status_ == Status::Requested) throw std::logic_error("this buffer was never allocated");
    return static_cast<std::uint32_t>(address_);
}

MeshBuffer::MeshBuffer(MeshDevice& mesh, const BufferShape& shape)
    : mesh_(mesh), owner_(Buffer::create(&mesh, shape)) {
    for (IDevice* device : mesh.get_devices()) views_.push_back(Buffer::create(device, owner_->address(), shape));
}

void MeshBuffer::deallocate() {
    if (!owner_) return;
    const auto end_views = [this] {
        for (const auto& view : views_) view->deallocate();
    };
    if (!mesh_.is_initialized()) {
        owner_->mark_as_deallocated();
        if (generation().view_end != ViewEnd::WithObject)
            for (const auto& view : views_) view->mark_as_deallocated();
    }
    if (generation().view_end == ViewEnd::BeforeOwner) end_views();
    owner_.reset();
    if (generation().view_end == ViewEnd::AfterOwner) end_views();
}

// --- programs ---------------------------------------------------------------------------------------------

Program::~Program() {
    deallocate_circular_buffers();
    if (generation().tells_program) hooks::program_end(*this);
}

void Program::add_circular_buffer(CoreRangeSet cores, DeviceAddr size, bool is_globally_allocated) {
    circular_buffers_.push_back({std::move(cores), size, is_globally_allocated});
}

void Program::launch(MeshDevice& mesh) {
    const std::lock_guard<std::mutex> lock(launch_mutex_);
    if (!binaries_) {
        binaries_ = std::make_unique<MeshBuffer>(mesh, BufferShape{12 * 1024, 1024});
        allocate_circular_buffers(mesh);
    }
    GraphTracker::track_program(this, &mesh);
}

void Program::allocate_circular_buffers(const MeshDevice& mesh) {
    std::optional<hooks::circular_buffers_of> owner;
    if (generation().tells_program) owner.emplace(*this);
    laid_out_on_.push_back(mesh.get_devices().front());
    if (generation().circular_buffers == Generation::CircularBuffers::OnEachChip) {
        const auto devices = mesh.get_devices();
        laid_out_on_.assign(devices.begin(), devices.end());
    }
    for (const IDevice* device : laid_out_on_) {
        DeviceAddr address = 0x19d80;
        for (const CircularBuffer& each : circular_buffers_) {
            GraphTracker::track_allocate_cb(each.cores, address, each.size, each.is_globally_allocated, device);
            if (!each.is_globally_allocated) address += each.size;
        }
    }
}

void Program::deallocate_circular_buffers() {
    std::optional<hooks::circular_buffers_of> owner;
    if (generation().tells_program) owner.emplace(*this);
    for (const IDevice* device : laid_out_on_) GraphTracker::track_deallocate_cb(device);
    laid_out_on_.clear();
}

}  // namespace tt::tt_metal
