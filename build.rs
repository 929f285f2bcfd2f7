//! Generates `tt_memtrace.h` from `src/abi.rs` into `OUT_DIR` (the committed copy is `include/tt_memtrace.h`,
//! which `tests/header.rs` keeps equal), names the library, and keeps it loaded once it is.

use std::path::PathBuf;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=src/abi.rs");
    println!("cargo::rerun-if-changed=cbindgen.toml");
    println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libtt_memtrace.so");
    // Exit handlers and hooks point into the library: `dlclose` must not take it away.
    println!("cargo::rustc-cdylib-link-arg=-Wl,-z,nodelete");

    let root = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR")?);
    let header = PathBuf::from(std::env::var("OUT_DIR")?).join("tt_memtrace.h");
    let config = cbindgen::Config::from_file(root.join("cbindgen.toml"))?;
    let bindings =
        cbindgen::Builder::new().with_src(root.join("src/abi.rs")).with_config(config).generate()?;
    bindings.write_to_file(&header);
    // Where the test finds it.
    println!("cargo::rustc-env=TT_MEMTRACE_GENERATED_HEADER={}", header.display());
    Ok(())
}
