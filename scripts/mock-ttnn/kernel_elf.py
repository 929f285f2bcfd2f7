#!/usr/bin/env python3
"""usage: kernel_elf.py FILE

Writes the ELF file that the stand-in compiler hands out as every kernel. No mock device ever runs it,
but the runtime loads it. It wants RISC-V code with the entry point in front, a second segment that is
loaded right behind the first and begins with a section called .data, and relocations for the code.
"""

import argparse
import struct
from pathlib import Path

CODE_ADDRESS = 0x6000
DATA_ADDRESS = 0xFFB01000  # a core's own memory
CODE = struct.pack("<I", 0x0000006F)  # j . : an endless loop
DATA = struct.pack("<I", 0)
RELOCATION = struct.pack("<IIi", CODE_ADDRESS, 1 << 8 | 17, 0)  # R_RISCV_JAL to symbol 1

HEADER = struct.Struct("<16s2H5I6H")
SEGMENT = struct.Struct("<8I")
SECTION = struct.Struct("<10I")
SYMBOL = struct.Struct("<3I2BH")

# Section types and flags of the ELF specification.
PROGBITS, SYMTAB, STRTAB, RELA = 1, 2, 3, 4
WRITE, ALLOC, EXEC = 1, 2, 4


def kernel() -> bytes:
    names = b"\0.text\0.data\0.rela.text\0.symtab\0.strtab\0_start\0"
    function = 0x12  # global, a function
    symbols = SYMBOL.pack(0, 0, 0, 0, 0, 0)
    symbols += SYMBOL.pack(names.index(b"_start"), CODE_ADDRESS, len(CODE), function, 0, 1)

    # name, type, flags, address, link, info, entry size, contents; link and info count from 1.
    sections = [
        (b".text", PROGBITS, ALLOC | EXEC, CODE_ADDRESS, 0, 0, 0, CODE),
        (b".data", PROGBITS, ALLOC | WRITE, DATA_ADDRESS, 0, 0, 0, DATA),
        (b".rela.text", RELA, 0, 0, 4, 1, len(RELOCATION), RELOCATION),
        (b".symtab", SYMTAB, 0, 0, 5, 1, SYMBOL.size, symbols),
        (b".strtab", STRTAB, 0, 0, 0, 0, 0, names.ljust(48, b"\0")),
    ]
    start = HEADER.size + 2 * SEGMENT.size
    contents, table = b"", SECTION.pack(*[0] * 10)
    for name, kind, flags, address, link, info, entry, content in sections:
        table += SECTION.pack(
            names.index(name), kind, flags, address, start + len(contents), len(content), link, info, 4, entry
        )
        contents += content

    # type, offset in the file, address, load address, size in the file, in memory, flags, alignment.
    code = SEGMENT.pack(1, start, CODE_ADDRESS, CODE_ADDRESS, len(CODE), len(CODE), 5, 4)
    load_address = CODE_ADDRESS + len(CODE)
    data = SEGMENT.pack(1, start + len(CODE), DATA_ADDRESS, load_address, len(DATA), len(DATA), 6, 4)
    little_endian_32_bit = b"\x7fELF\1\1\1"
    executable, risc_v = 2, 243
    header = HEADER.pack(
        little_endian_32_bit, executable, risc_v, 1, CODE_ADDRESS, HEADER.size, start + len(contents), 0,
        HEADER.size, SEGMENT.size, 2, SECTION.size, len(sections) + 1, len(sections),
    )  # fmt: skip
    return header + code + data + contents + table


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[2])
    parser.add_argument("file", metavar="FILE", type=Path)
    parser.parse_args().file.write_bytes(kernel())
