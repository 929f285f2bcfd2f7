"""hook-tt-metal on five shapes that tt-metal has had, and on what it must refuse.

The files in layouts/ were written for this test: each folder holds what differs from the one before, and has
the signatures of its generation, not its code. Run it with: python3 -m unittest discover tests/hook_tt_metal
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent
TOOL = HERE.parent.parent / "scripts" / "hook-tt-metal"
INCLUDE = HERE.parent.parent / "include"
# In the order of time; the comment names a release that has the shape.
GENERATIONS = (
    "atomic_buffer",  # 0.57: programs have no destructor of their own
    "plain_buffer",  # 0.60
    "mesh_impl",  # 0.66 to 0.78: MeshDevice hands over to MeshDeviceImpl
    "buffer_members",  # between these: Buffer keeps its members in a BufferImpl
    "buffer_impl",  # 0.80: Buffer hands over to BufferImpl
)
TRACKER = "tt_metal/graph/graph_tracking.cpp"
BUFFER = "tt_metal/impl/buffers/buffer.cpp"
PROGRAM = "tt_metal/impl/program/program.cpp"
MESH = "tt_metal/distributed/mesh_device.cpp"
OURS = "tt_metal/tt_memtrace"


class Checkout(unittest.TestCase):
    """A checkout of one generation, and a copy of the tool with the headers beside it."""

    generation = GENERATIONS[-1]

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        (self.folder / "scripts").mkdir()
        shutil.copy(TOOL, self.folder / "scripts")
        shutil.copytree(INCLUDE, self.folder / "include")
        self.lay_out(self.generation)

    def lay_out(self, generation: str) -> None:
        self.tree = self.folder / generation
        shutil.rmtree(self.tree, ignore_errors=True)
        for layer in ("common", *GENERATIONS[: GENERATIONS.index(generation) + 1]):
            shutil.copytree(HERE / "layouts" / layer, self.tree, dirs_exist_ok=True)

    def run_tool(self, *arguments: object, expected: int = 0) -> tuple[str, str]:
        command = [sys.executable, str(self.folder / "scripts" / TOOL.name), *map(str, arguments)]
        result = subprocess.run(command, capture_output=True, text=True, timeout=60)
        self.assertEqual(result.returncode, expected, result.stdout + result.stderr)
        return result.stdout, result.stderr

    def apply(self) -> str:
        return self.run_tool(self.tree)[0]

    def revert(self) -> str:
        return self.run_tool("--revert", self.tree)[0]

    def refused(self, *arguments: str) -> str:
        """The refusals; nothing may have been changed."""
        before = self.content()
        errors = self.run_tool(*arguments, self.tree, expected=3)[1]
        self.assertEqual(self.content(), before)
        self.assertIn("no file was changed", errors)
        return errors

    def content(self) -> dict[str, bytes]:
        files = (path for path in self.tree.rglob("*") if path.is_file())
        return {str(path.relative_to(self.tree)): path.read_bytes() for path in files}

    def read(self, name: str) -> str:
        return (self.tree / name).read_bytes().decode()

    def edit(self, name: str, old: str, new: str) -> None:
        text = self.read(name)
        self.assertIn(old, text)
        (self.tree / name).write_bytes(text.replace(old, new).encode())


class InAGeneration:
    """What holds in each of them."""

    def test_a_second_run_changes_nothing_and_revert_gives_the_same_bytes(self) -> None:
        before = self.content()
        self.run_tool("--check", self.tree, expected=1)
        self.assertEqual(self.content(), before)
        self.apply()
        hooked = self.content()
        self.assertNotEqual(hooked, before)
        self.run_tool("--check", self.tree)
        self.assertIn("already", self.apply())
        self.assertEqual(self.content(), hooked)
        self.revert()
        self.assertEqual(self.content(), before)
        self.assertIn("nothing of ours was there", self.revert())

    def test_other_line_ends_tabs_and_a_missing_last_one_come_back(self) -> None:
        for name in (TRACKER, BUFFER, PROGRAM, MESH):
            text = self.read(name).replace("    ", "\t").replace("\n", "\r\n").rstrip()
            (self.tree / name).write_bytes(b"\xef\xbb\xbf// caf\xe9\r\n" + text.encode())
        before = self.content()
        self.apply()
        for name, data in self.content().items():
            if name.endswith(".cpp") and name != "drive.cpp":
                self.assertEqual(data.count(b"\n"), data.count(b"\r\n"), name)
        self.assertIn(b"\r\n\t::tt_memtrace::hooks::allocate(buffer);", self.content()[TRACKER])
        self.revert()
        self.assertEqual(self.content(), before)

    def test_every_line_that_is_added_is_marked_and_none_is_removed(self) -> None:
        before = self.content()
        self.apply()
        for name, data in before.items():
            lines = self.read(name).splitlines()
            kept = [re.sub(r" ?/\* tt-memtrace \*/.*/\* tt-memtrace \*/", "", line) for line in lines]
            kept = [line for line in kept if not line.endswith("// tt-memtrace")]
            self.assertEqual(kept, data.decode().splitlines(), name)

    def test_the_hooked_runtime_does_the_same_and_reports_each_moment_once(self) -> None:
        objects = self.compiled("plain")
        plain = self.ran(objects)
        self.assertEqual(plain.stderr, "")
        self.apply()
        objects = self.compiled("hooked")
        # Without the library nothing is reported, and nothing else is different.
        alone = self.ran(objects)
        self.assertEqual((alone.stdout, alone.stderr), (plain.stdout, ""))
        hooked = self.ran([*objects, HERE / "recorder.cpp"])
        self.assertEqual(hooked.stdout, plain.stdout)
        by_program = self.generation != "atomic_buffer"
        events = [
            "patched 1",
            "open 2 chips from 4 to 5 mesh 1",
            "allocate 4096 bytes at 64 mesh 1",
            "allocate 2048 bytes at 64 view chip 4",
            "allocate_cb 256 bytes at 512 program 7 to core 7 chip 4",
            "program 7 mesh 1",
            f"deallocate_cb program {7 if by_program else -1} chip 4",
            *["deallocate_cb program 7"] * by_program,
            "deallocate 2048 bytes at 64",
            "deallocate 4096 bytes at 64",
            "close mesh 1",
        ]
        self.assertEqual(hooked.stderr.splitlines(), events)

    def compiled(self, name: str) -> list[Path]:
        metal = self.tree / "tt_metal"
        folders = (metal / "api" / "tt-metalium", metal / "api", metal / "impl", metal)
        sources = (self.tree / "drive.cpp", *(self.tree / source for source in (TRACKER, BUFFER, PROGRAM, MESH)))
        objects = self.folder / name
        objects.mkdir()
        strictly = ("-Wall", "-Wextra", "-Werror")
        self.compiler("-c", *strictly, *(f"-I{folder}" for folder in folders), *sources, cwd=objects)
        return list(objects.iterdir())

    def ran(self, objects: list[Path]) -> subprocess.CompletedProcess[str]:
        self.compiler(f"-I{INCLUDE}", "-o", "drive", *objects, cwd=self.folder)
        return subprocess.run([self.folder / "drive"], capture_output=True, text=True, timeout=60, check=True)

    def compiler(self, *arguments: object, cwd: Path) -> None:
        command = ["c++", "-std=c++20", "-fPIC", *map(str, arguments)]
        result = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300)
        self.assertEqual(result.returncode, 0, result.stderr)

    def test_one_file_says_that_the_runtime_reports_by_itself(self) -> None:
        self.apply()
        having = [name for name in self.content() if "PATCHED_RUNTIME();" in self.read(name)]
        self.assertEqual(having, [TRACKER])

    def test_json_names_each_call_with_its_place(self) -> None:
        self.run_tool("--json", self.tree)
        report = json.loads(self.run_tool("--json", "--check", self.tree)[0])
        self.assertEqual((report["verb"], report["files"], report["refused"]), ("check", [], []))
        calls = {place["place"]: place for place in report["places"]}
        self.assertEqual(len(calls), 12)
        left_out = [name for name, place in calls.items() if place["state"] == "left out"]
        first = self.generation == "atomic_buffer"
        self.assertEqual(left_out, ["deallocate_circular_buffers", "program_end"] if first else [])
        for place in calls.values():
            if place["state"] != "left out":
                self.assertEqual(place["state"], "present")
                self.assertIn(place["text"], self.read(place["file"]).splitlines()[place["line"] - 1])


for each in GENERATIONS:
    name = f"In_{each}"
    globals()[name] = type(name, (InAGeneration, Checkout), {"generation": each})


class HandEdited(Checkout):
    def test_work_of_others_beside_our_lines_survives_revert(self) -> None:
        self.edit(TRACKER, "// Others see", "// All see")
        self.apply()
        self.edit(TRACKER, "// All see", "// Some see")
        self.edit(BUFFER, "allocated_ = true;\n    Gra", "allocated_ = !false;\n    Gra")
        self.revert()
        self.assertIn("// Some see", self.read(TRACKER))
        self.assertIn("!false", self.read(BUFFER))
        self.assertNotIn("tt_memtrace", self.read(TRACKER) + self.read(BUFFER))

    def test_what_was_lost_is_found_by_check_and_put_back(self) -> None:
        self.apply()
        hooked = self.content()
        lost = "    ::tt_memtrace::hooks::deallocate(buffer);  // tt-memtrace\n"
        self.edit(TRACKER, lost, "")
        output = self.run_tool("--check", self.tree, expected=1)[0]
        self.assertRegex(output, rf"missing +{TRACKER}:\d+ .*deallocate\(buffer\)")
        self.apply()
        self.assertEqual(self.content(), hooked)

    def test_a_doubled_or_moved_line_of_ours_is_put_right(self) -> None:
        before = self.content()
        self.apply()
        hooked = self.content()
        line = "    ::tt_memtrace::hooks::deallocate(buffer);  // tt-memtrace\n"
        self.edit(TRACKER, line, line + line)
        self.edit(TRACKER, "namespace internal {", line + "namespace internal {")
        self.run_tool("--check", self.tree, expected=1)
        self.apply()
        self.assertEqual(self.content(), hooked)
        self.revert()
        self.assertEqual(self.content(), before)

    def test_a_call_put_in_by_hand_counts_and_stays(self) -> None:
        self.edit(
            TRACKER,
            "track_deallocate(Buffer* buffer) {\n",
            "track_deallocate(Buffer* buffer) {\n    tt_memtrace::hooks::deallocate(buffer);\n",
        )
        before = self.content()
        self.assertRegex(self.apply(), rf"by hand +{TRACKER}:\d+")
        self.assertEqual(self.read(TRACKER).count("hooks::deallocate(buffer)"), 1)
        self.run_tool("--check", self.tree)
        self.revert()
        self.assertEqual(self.content(), before)

    def test_what_is_refused_is_accepted_once_it_is_done_by_hand(self) -> None:
        self.edit(TRACKER, "track_program(Program* program,", "track_program(Program& program,")
        self.assertIn("put the call in by hand", self.refused())
        body = "void elsewhere() {\n    tt_memtrace::hooks::program(nullptr, nullptr);\n}\n"
        (self.tree / "tt_metal" / "elsewhere.cpp").write_text(body)
        self.assertRegex(self.apply(), r"by hand +tt_metal/elsewhere\.cpp +program\n")
        self.assertNotIn("hooks::program(", self.read(TRACKER))
        self.run_tool("--check", self.tree)

    def test_a_marker_on_a_line_that_is_not_ours_is_refused(self) -> None:
        self.apply()
        self.edit(TRACKER, "    internal::background_calls++;\n", "    internal::background_calls++;  // tt-memtrace\n")
        line = self.read(TRACKER).splitlines().index("    internal::background_calls++;  // tt-memtrace") + 1
        self.assertIn(f"{TRACKER}:{line}: this is marked as ours, but is not", self.refused("--revert"))

    def test_older_headers_of_ours_are_renewed_and_revert_leaves_other_files(self) -> None:
        self.apply()
        (self.tree / OURS / "tt_memtrace.hpp").write_text("// old\n")
        self.run_tool("--check", self.tree, expected=1)
        self.apply()
        self.run_tool("--check", self.tree)
        (self.tree / OURS / "notes.txt").write_text("mine\n")
        self.revert()
        self.assertEqual([path.name for path in (self.tree / OURS).iterdir()], ["notes.txt"])

    def test_the_mode_of_a_file_stays(self) -> None:
        os.chmod(self.tree / TRACKER, 0o640)
        self.apply()
        self.assertEqual((self.tree / TRACKER).stat().st_mode & 0o777, 0o640)


class Refused(Checkout):
    def line_of(self, name: str, part: str) -> int:
        return next(i for i, line in enumerate(self.read(name).splitlines(), 1) if part in line)

    def test_other_parameters(self) -> None:
        self.edit(TRACKER, "track_allocate(const Buffer* buffer)", "track_allocate(Buffer* buffer, bool bottom_up)")
        line = self.line_of(TRACKER, "::track_allocate(Buffer*")
        errors = self.refused()
        self.assertIn(f"{TRACKER}:{line}: GraphTracker::track_allocate(Buffer*, bool) is not known", errors)
        self.assertIn("only GraphTracker::track_allocate(Buffer*)", errors)
        self.refused("--check")

    def test_the_line_that_is_named_counts_the_lines_of_ours(self) -> None:
        self.apply()
        self.edit(TRACKER, "track_program(Program* program,", "track_program(Program& program,")
        self.assertIn(f"{TRACKER}:{self.line_of(TRACKER, '::track_program(')}: ", self.refused())

    def test_all_that_is_not_known_is_told_at_once(self) -> None:
        self.edit(TRACKER, "track_deallocate_cb(const IDevice* device)", "track_deallocate_cb()")
        self.edit(BUFFER, "BufferImpl::deallocate(Buffer& self)", "BufferImpl::deallocate()")
        errors = self.refused()
        self.assertIn("track_deallocate_cb()", errors)
        self.assertIn("BufferImpl::deallocate()", errors)

    def test_a_function_that_is_gone_is_looked_for_in_the_headers(self) -> None:
        self.edit(TRACKER, "GraphTracker::track_program", "GraphTracker::track_work")
        header = "tt_metal/api/tt-metalium/graph_tracking.hpp"
        line = self.line_of(header, "track_program")
        self.assertIn(f"{header}:{line}: no definition of GraphTracker::track_program", self.refused())

    def test_the_same_function_twice(self) -> None:
        shutil.copy(self.tree / TRACKER, self.tree / "tt_metal" / "graph" / "other.cpp")
        errors = self.refused()
        self.assertIn(f"{TRACKER}:{self.line_of(TRACKER, '::track_allocate(')}: ", errors)
        self.assertIn("tt_metal/graph/other.cpp:", errors)

    def test_a_parameter_without_a_name(self) -> None:
        self.edit(TRACKER, "_deallocate_cb(const IDevice* device)", "_deallocate_cb(const IDevice* /*device*/)")
        self.assertIn("parameter 1 has no name", self.refused())

    def test_a_factory_that_returns_in_two_places_or_no_variable(self) -> None:
        final = "allocated_ = true;\n    }\n    return buffer;"
        self.edit(BUFFER, final, final.replace("}", "    return buffer;\n    }", 1))
        self.assertIn("does not just return one variable", self.refused())
        self.lay_out(self.generation)
        self.edit(BUFFER, final, final.replace("return buffer", "return std::move(buffer)"))
        self.assertIn("does not just return one variable", self.refused())

    def test_a_return_that_hangs_on_a_condition(self) -> None:
        self.edit(MESH, "open_ = false;\n\n    return true;", "open_ = false;\n    if (open_)\n    return true;")
        self.assertIn("this return is a part of a longer statement", self.refused())

    def test_another_overload_of_the_factory(self) -> None:
        self.edit(BUFFER, "IDevice* device,\n    DeviceAddr address,", "IDevice& device,\n    DeviceAddr address,")
        self.assertIn("BufferImpl::create(IDevice&, uint64_t, uint64_t, uint64_t", self.refused())

    def test_braces_that_do_not_match(self) -> None:
        self.edit(TRACKER, "    // Others see every thread.\n", "#if X\n    {\n#else\n    {\n#endif\n    }\n")
        self.assertRegex(self.refused(), rf"{TRACKER}:\d+: this brace is not closed")

    def test_a_class_without_the_member_that_tells_who_owns(self) -> None:
        self.edit(BUFFER, "owns_data", "keeps_data")
        self.assertIn("no member owns_data_", self.refused())

    def test_nothing_is_changed_if_one_file_cannot_be_written(self) -> None:
        (self.tree / OURS).write_text("a file where a folder is needed\n")
        self.refused()

    def test_headers_of_ours_that_are_missing(self) -> None:
        (self.folder / "include" / "tt_memtrace.hpp").unlink()
        self.assertIn("tt_memtrace.hpp", self.refused())

    def test_what_is_no_checkout_is_wrong_usage(self) -> None:
        self.assertIn("give the top folder", self.run_tool(self.folder, expected=2)[1])
        self.run_tool("--check", "--revert", self.tree, expected=2)
        self.run_tool(expected=2)

    def test_revert_needs_to_recognise_nothing(self) -> None:
        self.apply()
        self.edit(TRACKER, "GraphTracker::track_program", "GraphTracker::track_work")
        self.revert()
        self.assertNotIn("tt_memtrace", self.read(TRACKER))


class NotMistaken(Checkout):
    """What looks like one of the functions, and is none."""

    def hooked_tracker(self) -> str:
        self.apply()
        return self.read(TRACKER)

    def test_comments_literals_and_directives(self) -> None:
        decoy = (
            "// void GraphTracker::track_allocate(const Buffer* buffer) {\n"
            "/* void GraphTracker::track_allocate(const Buffer* buffer) { */\n"
            '#define DECOY void GraphTracker::track_allocate(const Buffer* buffer) { \\\n    return; }\n'
            'const char* decoy = R"x(\nvoid GraphTracker::track_allocate(const Buffer* buffer) {\n)" {)x";\n'
            "const char brace = '{'; const long million = 1'000'000;\n"
        )
        self.edit(TRACKER, "namespace internal {", decoy + "namespace internal {")
        text = self.hooked_tracker()
        self.assertIn(decoy, text)
        self.assertIn("buffer) {\n    ::tt_memtrace::hooks::allocate(buffer);  // tt-memtrace\n    for", text)

    def test_classes_of_the_same_name_elsewhere(self) -> None:
        other = "namespace tt::umd {\nvoid GraphTracker::track_allocate(Buffer* buffer, bool) {\n}\n}\n"
        (self.tree / TRACKER).write_text(self.read(TRACKER) + other)
        self.assertTrue(self.hooked_tracker().endswith(other))

    def test_calls_and_the_same_name_inside_other_functions(self) -> None:
        calls = "void again(const Buffer* b) {\n    if (b) GraphTracker::track_allocate(b); else {\n    }\n}\n"
        (self.tree / TRACKER).write_text(self.read(TRACKER) + f"namespace tt::tt_metal {{\n{calls}}}\n")
        self.assertIn(calls, self.hooked_tracker())

    def test_other_ways_to_write_the_same_signature(self) -> None:
        self.edit(
            TRACKER,
            "void GraphTracker::track_deallocate_cb(const IDevice* device) {",
            "void tt::tt_metal::GraphTracker :: track_deallocate_cb(\n"
            "    IDevice const * where = nullptr)\n    noexcept\n{ // done",
        )
        text = self.hooked_tracker()
        self.assertIn("{ // done\n    ::tt_memtrace::hooks::deallocate_cb(where);  // tt-memtrace\n", text)

    def test_a_comment_that_goes_on_below_the_brace(self) -> None:
        self.edit(TRACKER, "_deallocate(Buffer* buffer) {\n", "_deallocate(Buffer* buffer) { /* which\n ends */\n")
        before = self.read(TRACKER)
        text = self.hooked_tracker()
        self.assertIn("{ /* tt-memtrace */ ::tt_memtrace::hooks::deallocate(buffer); /* tt-memtrace */ /* which", text)
        self.revert()
        self.assertEqual(self.read(TRACKER), before)

    def test_an_include_under_a_condition_is_not_where_ours_goes(self) -> None:
        old = "namespace tt::tt_metal {\n\nGraph"
        self.edit(TRACKER, old, f"#if 0\n#include <nowhere>\n#endif\n{old}")
        text = self.hooked_tracker()
        self.assertLess(text.index("tt_memtrace.hpp"), text.index("#if 0"))

    def test_a_file_that_has_moved_is_found(self) -> None:
        folder = self.tree / "tt_metal" / "impl" / "tracking" / "deep"
        folder.mkdir(parents=True)
        (self.tree / TRACKER).rename(folder / "tracker.cpp")
        self.apply()
        text = (folder / "tracker.cpp").read_text()
        self.assertIn('#include "../../../tt_memtrace/tt_memtrace.hpp"  // tt-memtrace\n', text)


if __name__ == "__main__":
    unittest.main()
