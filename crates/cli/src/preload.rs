//! Finds the library, and gives it a path that the loader understands.

use crate::exit;
use nix::unistd::Uid;
use std::ffi::{OsStr, OsString};
use std::fs::{self, DirBuilder};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, symlink};
use std::path::{Path, PathBuf};
use tt_memtrace_wire::names;

const NAME: &str = "libtt_memtrace.so";

/// The library's real path; otherwise a sentence with every place that was looked at.
pub fn find() -> Result<PathBuf, String> {
    if let Some(named) = std::env::var_os(names::LIBRARY).filter(|named| !named.is_empty()) {
        let named = PathBuf::from(named);
        let error = |error| {
            let why = exit::plain(&error);
            format!("{} names {}: {why}", names::LIBRARY, named.display())
        };
        return named.canonicalize().map_err(error);
    }
    let binary = std::env::current_exe().and_then(|path| path.canonicalize());
    let folder = binary.ok().and_then(|path| path.parent().map(Path::to_owned)).unwrap_or_default();
    let places = [folder.join(NAME), folder.join("../lib").join(NAME), folder.join("..").join(NAME)];
    let found = places.iter().find_map(|place| place.canonicalize().ok());
    found.or_else(|| in_packages(&folder.join("../lib"))).ok_or_else(|| {
        let looked = places.map(|place| place.display().to_string()).join(", ");
        format!("cannot find {NAME} ({looked}, or in the wheel): set {} to its path", names::LIBRARY)
    })
}

/// Where the wheel puts it: `lib/python3.X/site-packages/tt_memtrace/lib`. If several Pythons share the folder, the
/// newest one is that of this command.
fn in_packages(lib: &Path) -> Option<PathBuf> {
    let is_python =
        |path: &PathBuf| path.file_name().is_some_and(|name| name.as_bytes().starts_with(b"python3"));
    let pythons = fs::read_dir(lib).ok()?.flatten().map(|entry| entry.path()).filter(is_python);
    let places = pythons.flat_map(|python| {
        ["site-packages", "dist-packages"]
            .map(|packages| python.join(packages).join("tt_memtrace/lib").join(NAME))
    });
    let found = places.filter_map(|place| Some((fs::metadata(&place).ok()?.modified().ok()?, place)));
    found.max().and_then(|(_, place)| place.canonicalize().ok())
}

/// A path to the library that the loader takes as one name.
pub fn loadable(library: &Path) -> io::Result<PathBuf> {
    if !is_split_by_the_loader(library) {
        return Ok(library.to_owned());
    }
    let mut hasher = DefaultHasher::new();
    library.hash(&mut hasher);
    let link = private_folder()?.join(format!("{:016x}-{NAME}", hasher.finish()));
    match symlink(library, &link) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        other => other?,
    }
    if fs::read_link(&link)? == library {
        return Ok(link);
    }
    Err(io::Error::other(format!("{} leads elsewhere: remove it", link.display())))
}

/// The value of `LD_PRELOAD`: the library, then what was there.
pub fn variable(library: &Path) -> OsString {
    let mut value = library.as_os_str().to_owned();
    if let Some(before) = std::env::var_os("LD_PRELOAD").filter(|before| !before.is_empty()) {
        value.push(":");
        value.push(before);
    }
    value
}

/// The loader splits `LD_PRELOAD` at spaces and colons, and replaces `$ORIGIN` and the like.
pub fn is_split_by_the_loader(path: &Path) -> bool {
    OsStr::as_bytes(path.as_os_str()).iter().any(|byte| b" :$".contains(byte))
}

/// A folder that only this user can write to, so that nobody else decides what is loaded.
fn private_folder() -> io::Result<PathBuf> {
    let uid = Uid::current();
    let runtime = PathBuf::from(format!("/run/user/{uid}"));
    let candidates = [runtime.join("tt-memtrace"), PathBuf::from(format!("/tmp/tt-memtrace-{uid}"))];
    let mut last = io::Error::other("no private folder");
    for folder in candidates {
        match make_private(&folder, uid) {
            Ok(()) => return Ok(folder),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn make_private(folder: &Path, uid: Uid) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        other => other?,
    }
    let found = fs::symlink_metadata(folder)?;
    let is_ours = found.is_dir() && found.uid() == uid.as_raw() && found.mode() & 0o077 == 0;
    if is_ours {
        return Ok(());
    }
    Err(io::Error::other(format!("{} is not a private folder of user {uid}", folder.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_of_a_wheel_is_found() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(in_packages(folder.path()), None);
        let package = folder.path().join("python3.12/site-packages/tt_memtrace/lib");
        fs::create_dir_all(&package).unwrap();
        fs::create_dir_all(folder.path().join("python3.11/site-packages")).unwrap();
        fs::write(package.join(NAME), "").unwrap();
        assert_eq!(in_packages(folder.path()), package.join(NAME).canonicalize().ok());
    }

    #[test]
    fn a_path_the_loader_would_split_is_reached_through_a_link() {
        let folder = tempfile::Builder::new().prefix("two words: ").tempdir().unwrap();
        let library = folder.path().join(NAME);
        fs::write(&library, "").unwrap();
        let path = loadable(&library).unwrap();
        assert!(!is_split_by_the_loader(&path));
        assert_eq!(fs::canonicalize(&path).unwrap(), library.canonicalize().unwrap());
        assert_eq!(loadable(&library).unwrap(), path);
        fs::remove_file(path).unwrap();
        assert_eq!(loadable(Path::new("/lib/x.so")).unwrap(), Path::new("/lib/x.so"));
    }
}
