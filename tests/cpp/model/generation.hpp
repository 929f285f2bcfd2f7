// How the generations of patched runtimes report a mesh buffer and its views. What each function reports is in one
// place; this is only the choice.
#pragma once

#include <stdexcept>
#include <string>

namespace tt::tt_metal {

struct Generation {
    enum class ViewEnd { Never, BeforeOwner, AfterOwner, WithObject };
    enum class CircularBuffers { OnFirstChip, OnEachChip };

    const char* name;
    bool reports_mesh;     // buffers whose device is a mesh
    bool reports_views;    // each device's own buffer at the same address
    ViewEnd view_end;      // when a view's end is reported
    bool reports_swept;    // the bulk free at close reports each buffer that is left
    CircularBuffers circular_buffers;
    bool tells_program;    // circular buffers are reported with their program
};

inline const Generation& generation_named(const std::string& name) {
    using End = Generation::ViewEnd;
    using On = Generation::CircularBuffers;
    static const Generation all[] = {
        // Views are reported, and freed before or after their owner.
        {"c", true, true, End::BeforeOwner, false, On::OnFirstChip, false},
        {"c_doubled", true, true, End::AfterOwner, false, On::OnFirstChip, false},
        // Only what owns its memory is freed.
        {"d", true, true, End::Never, false, On::OnFirstChip, false},
        // The same, and what is left at close is freed one by one.
        {"e", true, true, End::Never, true, On::OnFirstChip, false},
        // What is on a mesh is not reported at all, only what is on its devices.
        {"f", false, true, End::BeforeOwner, false, On::OnEachChip, false},
        // Today's upstream: no view is reported.
        {"stock", true, false, End::Never, false, On::OnEachChip, false},
        // Today's upstream with every call of `tt_memtrace::hooks`.
        {"hooked", true, true, End::WithObject, false, On::OnEachChip, true},
    };
    for (const Generation& each : all)
        if (name == each.name) return each;
    throw std::invalid_argument("no generation " + name);
}

inline const Generation* current_generation = nullptr;
inline const Generation& generation() { return *current_generation; }

}  // namespace tt::tt_metal
