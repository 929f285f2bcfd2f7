//! Generates `tt_memtrace.h` from `src/abi.rs` and `src/abi/types.rs` into `OUT_DIR` (the committed copy is
//! `include/tt_memtrace.h`, which `tests/header.rs` keeps equal), names the library, and keeps it loaded once it is.

use std::path::PathBuf;

/// Numbers and structs first: C wants them declared before they are used.
const SOURCES: [&str; 2] = ["src/abi/types.rs", "src/abi.rs"];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for source in SOURCES {
        println!("cargo::rerun-if-changed={source}");
    }
    println!("cargo::rerun-if-changed=cbindgen.toml");
    println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libtt_memtrace.so");
    // Exit handlers and hooks point into the library: `dlclose` must not take it away.
    println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");

    let root = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR")?);
    let header = PathBuf::from(std::env::var("OUT_DIR")?).join("tt_memtrace.h");
    let config = cbindgen::Config::from_file(root.join("cbindgen.toml"))?;
    let sources =
        SOURCES.iter().fold(cbindgen::Builder::new(), |all, source| all.with_src(root.join(source)));
    let bindings = sources.with_config(config).generate()?;
    bindings.write_to_file(&header);
    // Where the test finds it.
    println!("cargo::rustc-env=TT_MEMTRACE_GENERATED_HEADER={}", header.display());
    Ok(())
}
