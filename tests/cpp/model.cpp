// Programs on a model of the runtime: it gives addresses and keeps lifetimes as the real one does.
//
//   model SCENARIO [GENERATION [CHIPS [THREADS]]]
//
// At each checkpoint it prints what its own allocators hold, as a line of JSON, and puts a mark of the same name into
// the capture: the figures of both must agree. The scenario `demo` prints for people instead.
#include "model/graph_tracking.hpp"
#include "tt_memtrace.hpp"

#include <algorithm>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <thread>

using namespace tt::tt_metal;
using distributed::MeshBuffer;
using distributed::MeshDevice;
using MeshBuffers = std::vector<std::unique_ptr<MeshBuffer>>;
using Layout = TensorMemoryLayout;

namespace {

constexpr DeviceAddr kTile = 2048;  // bytes of 32 x 32 bfloat16
const char* const kTypes[] = {"DRAM", "L1", "SYSTEM_MEMORY", "L1_SMALL", "TRACE"};

struct Run {
    std::uint64_t n_chips = 8;
    unsigned n_threads = 1;
    // Every mesh that is or was open.
    std::vector<const MeshDevice*> meshes = {};

    std::unique_ptr<MeshDevice> open() {
        std::vector<std::shared_ptr<Device>> devices;
        // As on a T3K, whose chips are not in the order of their numbers.
        for (std::uint64_t i = 0; i < n_chips; ++i) devices.push_back(std::make_shared<Device>(static_cast<int>(i ^ 4)));
        const std::size_t rows = n_chips == 32 ? 4 : n_chips == 8 ? 2 : 1;
        auto mesh = std::make_unique<MeshDevice>(std::move(devices), rows, n_chips / rows);
        meshes.push_back(mesh.get());
        return mesh;
    }
};

// --- checkpoints ------------------------------------------------------------------------------------------

using PerChip = std::map<std::pair<int, BufferType>, Totals>;

PerChip allocated(const Run& run) {
    PerChip totals;
    for (const MeshDevice* mesh : run.meshes)
        for (const auto& [type, total] : mesh->allocator()->totals())
            for (const int chip : mesh->get_device_ids()) totals[{chip, type}] += total;
    if (!run.meshes.empty())
        for (const IDevice* device : run.meshes.front()->get_devices())
            for (const auto& [type, total] : device->allocator()->totals()) totals[{device->id(), type}] += total;
    return totals;
}

void checkpoint(const Run& run, const char* name) {
    std::printf("{\"mark\":\"%s\",\"allocated\":[", name);
    const char* comma = "";
    for (const auto& [where, total] : allocated(run)) {
        std::printf(
            "%s{\"chip\":%d,\"type\":\"%s\",\"n_buffers\":%llu,\"bytes\":%llu,\"per_bank_bytes\":%llu}", comma,
            where.first, kTypes[static_cast<int>(where.second)], static_cast<unsigned long long>(total.n_buffers),
            static_cast<unsigned long long>(total.bytes), static_cast<unsigned long long>(total.per_bank_bytes));
        comma = ",";
    }
    std::puts("]}");
    std::fflush(stdout);
    tt_memtrace::mark(name);
}

// --- ops --------------------------------------------------------------------------------------------------

std::unique_ptr<MeshBuffer> tensor(MeshDevice& mesh, DeviceAddr bytes) {
    return std::make_unique<MeshBuffer>(mesh, BufferShape{bytes, kTile});
}

std::unique_ptr<MeshBuffer> op(MeshDevice& mesh, const char* name, const BufferShape& output) {
    const tt_memtrace::function function(name, "on a model");
    auto result = std::make_unique<MeshBuffer>(mesh, output);
    mesh.cached_program(name).launch(mesh);
    return result;
}

// --- scenarios --------------------------------------------------------------------------------------------

// Two tensors of 4 MiB on each chip, their sum, a product, all freed; and what a runtime holds for itself.
void reference(Run& run) {
    auto mesh = run.open();
    MeshBuffers system;
    for (DeviceAddr kib : {14'000, 100, 100, 50, 50, 40, 30, 20, 10}) system.push_back(tensor(*mesh, kib * 1024));
    system.push_back(tensor(*mesh, 14'753'792 - 14'400 * 1024));
    checkpoint(run, "opened");
    constexpr DeviceAddr MiB = 1 << 20;
    const tt_memtrace::phase phase("reference");
    MeshBuffers tensors;
    for (const char* name : {"one tensor", "two tensors"}) {
        tensors.push_back(tensor(*mesh, 4 * MiB));
        checkpoint(run, name);
    }
    tensors.push_back(op(*mesh, "add", {4 * MiB, kTile}));
    checkpoint(run, "their sum");
    tensors.push_back(tensor(*mesh, MiB / 2));
    tensors.push_back(tensor(*mesh, MiB / 2));
    tensors.push_back(op(*mesh, "matmul", {MiB, kTile}));
    checkpoint(run, "a product");
    for (auto& each : tensors) each->deallocate();
    checkpoint(run, "all freed");
    mesh->clear_program_cache();
    checkpoint(run, "cache cleared");
    mesh->close();
    checkpoint(run, "closed");
}

// All threads wait for each other; the last one to come does the work.
class Barrier {
public:
    explicit Barrier(unsigned n) : n_(n) {}
    template <class Work>
    void meet(Work work) {
        std::unique_lock<std::mutex> lock(mutex_);
        const unsigned round = round_;
        if (++n_here_ == n_) {
            work();
            n_here_ = 0;
            ++round_;
            all_here_.notify_all();
        } else {
            all_here_.wait(lock, [&] { return round_ != round; });
        }
    }

private:
    const unsigned n_;
    unsigned n_here_ = 0, round_ = 0;
    std::mutex mutex_;
    std::condition_variable all_here_;
};

BufferShape any_shape(std::minstd_rand& random) {
    const DeviceAddr pages = 1 + random() % 40;
    switch (random() % 8) {
        case 0: return {pages * 32, 32, BufferType::L1_SMALL};
        case 1: return {pages * 1024, 1024, BufferType::TRACE};
        case 2: return {pages * 256, 256, BufferType::L1};
        case 3: return {8 * kTile * (pages % 4 + 1), kTile, BufferType::L1, Layout::HEIGHT_SHARDED, 8};
        case 4: return {pages * 4, 4, BufferType::L1, Layout::BLOCK_SHARDED, 4};
        default: return {pages * kTile, kTile};
    }
}

// Buffers of all kinds come and go on many threads. Some give their memory back long before their objects go, so that
// another buffer is at their address by then.
void churn(Run& run) {
    auto mesh = run.open();
    checkpoint(run, "opened");
    Barrier barrier(run.n_threads);
    const int n_steps = run.n_chips > 8 ? 6 : 20;
    const auto work = [&](unsigned seed) {
        std::minstd_rand random(seed + 1);
        MeshBuffers live, husks;
        std::vector<std::shared_ptr<Buffer>> parts;
        for (const char* round : {"round 1", "round 2", "round 3"}) {
            for (int step = 0; step < n_steps; ++step) {
                live.push_back(std::make_unique<MeshBuffer>(*mesh, any_shape(random)));
                if (random() % 6 == 0) live.push_back(op(*mesh, random() % 2 ? "add" : "softmax", any_shape(random)));
                const std::size_t chosen = random() % live.size();
                std::swap(live[chosen], live.back());
                Buffer& last = *live.back()->owner();
                // A part keeps the memory allocated, which nobody knows to whom parts on a mesh are not told.
                if (generation().reports_mesh && random() % 4 == 0 && last.size() > last.page_size())
                    parts.push_back(last.view(last.page_size()));
                if (live.size() < 6 || random() % 3 == 0) continue;
                live.back()->deallocate();
                if (random() % 2) husks.push_back(std::move(live.back()));
                live.pop_back();
                if (husks.size() > 4) husks.erase(husks.begin());
                if (parts.size() > 3) parts.erase(parts.begin());
            }
            barrier.meet([&] { checkpoint(run, round); });
        }
        parts.clear();
        live.clear();
        barrier.meet([&] { checkpoint(run, "all freed"); });
    };
    std::vector<std::thread> threads;
    for (unsigned i = 0; i < run.n_threads; ++i) threads.emplace_back(work, i);
    for (auto& thread : threads) thread.join();
    mesh->clear_program_cache();
    checkpoint(run, "cache cleared");
    mesh->close();
    checkpoint(run, "closed");
}

// Each mesh has an allocator of its own, so the same addresses are in use twice on a chip.
void submeshes(Run& run) {
    auto mesh = run.open();
    auto submesh = mesh->create_submesh(1, (run.n_chips + 1) / 2);
    run.meshes.push_back(submesh.get());
    MeshBuffers on_mesh, on_submesh;
    for (int i = 0; i < 5; ++i) {
        on_mesh.push_back(tensor(*mesh, 64 * kTile));
        on_submesh.push_back(tensor(*submesh, 32 * kTile));
    }
    checkpoint(run, "both");
    on_mesh.pop_back();
    on_submesh.erase(on_submesh.begin());
    checkpoint(run, "fewer");
    on_mesh.clear();
    checkpoint(run, "the mesh is empty");
    on_submesh.clear();
    submesh->close();
    checkpoint(run, "the submesh is closed");
    mesh->close();
    checkpoint(run, "closed");
}

// What is still held when the mesh is closed, and destroyed later.
void held(Run& run) {
    auto mesh = run.open();
    auto freed = op(*mesh, "add", {64 * kTile, kTile});
    auto kept = op(*mesh, "matmul", {48 * kTile, kTile});
    auto sharded = op(*mesh, "add", {8 * kTile, kTile, BufferType::L1, Layout::HEIGHT_SHARDED, 8});
    freed.reset();
    mesh->clear_program_cache();
    checkpoint(run, "two are held");
    mesh->close();
    checkpoint(run, "closed");
    kept.reset();
    sharded.reset();
    checkpoint(run, "destroyed");
}

// Buffers on a chip itself, beside those of its mesh.
void lone_chips(Run& run) {
    auto mesh = run.open();
    IDevice* device = mesh->get_devices().back();
    auto on_chip = Buffer::create(device, {16 * kTile, kTile});
    auto on_mesh = tensor(*mesh, 8 * kTile);
    auto nothing = Buffer::create(device, {0, kTile});
    auto part = on_chip->view(4 * kTile);
    checkpoint(run, "three");
    part.reset();
    checkpoint(run, "no part");
    on_chip.reset();
    on_mesh.reset();
    checkpoint(run, "all freed");
    mesh->close();
    checkpoint(run, "closed");
}

// A small model with a leak: a list that is never emptied keeps the output of every iteration.
void demo(Run& run) {
    constexpr DeviceAddr kBytes = 16 * kTile;  // 128 x 128 bfloat16
    auto mesh = run.open();
    std::printf("two layers on %d chip(s)\n", static_cast<int>(run.n_chips));
    MeshBuffers layers, history;
    for (int i = 0; i < 2; ++i) layers.push_back(tensor(*mesh, kBytes));
    for (int iteration = 1; iteration <= 5; ++iteration) {
        auto x = tensor(*mesh, kBytes);
        for (std::size_t i = 0; i < layers.size(); ++i) {
            auto product = op(*mesh, "matmul", {kBytes, kTile});
            auto hidden =
                op(*mesh, "to_memory_config", {kBytes, kTile, BufferType::L1, Layout::HEIGHT_SHARDED, 4});
            product.reset();
            x = op(*mesh, "add", {kBytes, kTile});
        }
        history.push_back(std::move(x));
        std::printf("iteration %d: output (1, 1, 128, 128)\n", iteration);
    }
    layers.clear();
    std::printf("done; %d outputs are still held\n", static_cast<int>(history.size()));
    mesh->close();
}

constexpr std::pair<const char*, void (*)(Run&)> kScenarios[] = {
    {"reference", reference}, {"churn", churn},           {"submeshes", submeshes},
    {"held", held},           {"lone_chips", lone_chips}, {"demo", demo},
};

}  // namespace

int main(int argc, char** argv) {
    const std::string scenario = argc > 1 ? argv[1] : "demo";
    Run run;
    current_generation = &generation_named(argc > 2 ? argv[2] : "stock");
    if (argc > 3) run.n_chips = std::strtoull(argv[3], nullptr, 10);
    if (argc > 4) run.n_threads = static_cast<unsigned>(std::strtoul(argv[4], nullptr, 10));
    for (const auto& [name, play] : kScenarios) {
        if (scenario != name) continue;
        play(run);
        return 0;
    }
    std::fprintf(stderr, "no scenario %s\n", scenario.c_str());
    return 2;
}
