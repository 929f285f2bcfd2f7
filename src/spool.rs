//! The way of an event out of the host's thread: 64 bytes of shared memory that no death of the process takes
//! back.
//!
//! Each thread fills a segment of its own, so threads share no cache line and no counter. A record is there
//! when its commit word is, and it is committed before the hook returns. One total order comes from the clock:
//! `rdtscp` waits for everything before it, so a cause has a smaller reading than its effect on any core.
//!
//! In the steady state a push is one branch, one clock reading and eight stores to one line: no lock, no
//! allocation, no system call.

use crate::thread::{Hot, hot};
use crate::{clock, lifecycle, state};
use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::ptr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use tt_memtrace_wire::record::{self, Encoded, MOST_ALLOCATORS, Tail, WORDS};
use tt_memtrace_wire::spool::{
    self, ALLOCATORS, ANCHORS, BUSY, DROPPED, FREE, Layout, MAGIC, ORIGIN, OWNED, OWNER, RETIRED, SHAPE,
    SMALL, SMALL_SLOTS, segment,
};

/// Marks the calling thread as being in a hook. False if it was already.
#[inline(always)]
pub fn enter() -> bool {
    // SAFETY: the thread's own line; only this thread and its signal handlers use it.
    let inside = unsafe { &raw mut (*hot()).inside };
    // SAFETY: as above.
    if unsafe { inside.read_volatile() } != 0 {
        return false;
    }
    // SAFETY: as above.
    unsafe { inside.write_volatile(1) };
    true
}

/// Undoes [`enter`].
#[inline(always)]
pub fn leave() {
    // SAFETY: the thread's own line; only this thread and its signal handlers use it.
    let inside = unsafe { &raw mut (*hot()).inside };
    // SAFETY: as above.
    unsafe { inside.write_volatile(0) };
}

/// In a forked child, on its only thread: the inherited segment is not ours, and not even mapped.
pub fn forget_segment() {
    // SAFETY: the thread's own line.
    let hot = unsafe { &mut *hot() };
    hot.next = ptr::null_mut();
    hot.end = ptr::null_mut();
    hot.tid = 0;
    hot.is_watched = 0;
    hot.inside = 0;
}

/// The mapping, with the file that names it.
pub struct Spool {
    base: *mut AtomicU64,
    layout: Layout,
    /// The segments that a thread begins with, and those that one goes on with.
    small: Class,
    large: Class,
    /// Clears at a thread's end what the thread leaves.
    key: libc::pthread_key_t,
    path: PathBuf,
    has_tsc: bool,
}

/// Segments of one size.
struct Class {
    segments: Range<usize>,
    /// How many are free, at least: who has taken one off this figure finds a segment. A full spool costs one look.
    n_free: AtomicUsize,
    /// Where to look first.
    hint: AtomicUsize,
    /// How many of them, from the first on, any thread has ever had: the worker looks at no others.
    n_used: AtomicUsize,
}

impl Class {
    fn new(segments: Range<usize>) -> Self {
        let n_free = AtomicUsize::new(segments.len());
        Self { segments, n_free, hint: AtomicUsize::new(0), n_used: AtomicUsize::new(0) }
    }
}

// SAFETY: the mapping is only touched through atomics, or by the one thread that owns a segment.
unsafe impl Send for Spool {}
// SAFETY: as above.
unsafe impl Sync for Spool {}

impl Spool {
    /// Creates the file, fills its space now (a full file system is found here, not by a signal in the host),
    /// maps it and touches the first segments. It is not inherited by forked children.
    pub fn create(path: PathBuf, bytes: usize, origin: &[u8]) -> io::Result<Self> {
        let layout = Layout::for_bytes(bytes);
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
        let base = reserve(&file, layout.total_words() * size_of::<u64>(), origin);
        let base = base.inspect_err(|_| drop(std::fs::remove_file(&path)))?;
        let mut key = 0;
        // SAFETY: the destructor is a function of this library, which is never unloaded.
        if unsafe { libc::pthread_key_create(&raw mut key, Some(thread_ends)) } != 0 {
            return Err(io::Error::last_os_error());
        }
        let has_tsc = clock::has_ordered_tsc();
        let small = Class::new(0..layout.n_small);
        let large = Class::new(layout.n_small..layout.n_segments);
        let this = Self { base: base.cast(), layout, small, large, key, path, has_tsc };
        let (ticks, ns) = this.anchor();
        for (at, word) in [
            (SHAPE, layout.to_word()),
            (SMALL, layout.n_small as u64),
            (OWNER, u64::from(std::process::id()) | u64::from(has_tsc) << 32),
            (ANCHORS, ticks),
            (ANCHORS + 1, ns),
        ] {
            this.store(at, word);
        }
        this.renew_anchor();
        this.store(0, MAGIC);
        Ok(this)
    }

    /// In a forked child, on its only thread: the thread's end is no longer this spool's business, whose mapping
    /// the child does not have.
    pub fn disown_thread(&self) {
        // SAFETY: the key was created with the spool.
        unsafe { libc::pthread_setspecific(self.key, ptr::null()) };
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The shape.
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// Touches everything that no thread has used yet, off the host's threads.
    pub fn prefault(&self) {
        let bytes = self.layout.total_words() * size_of::<u64>();
        // SAFETY: the whole mapping; a kernel that does not know the advice answers with an error.
        unsafe { libc::madvise(self.base.cast(), bytes, libc::MADV_POPULATE_WRITE) };
    }

    /// A word of the mapping, read with acquire ordering.
    #[inline]
    pub fn load(&self, at: usize) -> u64 {
        self.word(at).load(Ordering::Acquire)
    }

    /// Stores a word of the mapping with release ordering.
    #[inline]
    pub fn store(&self, at: usize, value: u64) {
        self.word(at).store(value, Ordering::Release);
    }

    #[inline]
    fn word(&self, at: usize) -> &AtomicU64 {
        debug_assert!(at < self.layout.total_words());
        // SAFETY: all callers stay within the layout, which is mapped for as long as the process lives.
        let word = unsafe { self.base.add(at) };
        // SAFETY: as above.
        unsafe { &*word }
    }

    /// The position of an allocator's number in the table, if it has one.
    #[inline(always)]
    pub fn known_allocator(&self, number: u64) -> Option<u64> {
        let mut position = 0;
        while position < MOST_ALLOCATORS {
            match self.load(ALLOCATORS + position) {
                0 => return None,
                found if found == number => return Some(position as u64),
                _ => position += 1,
            }
        }
        None
    }

    /// The position of an allocator's number in the table; takes the next free one for a new number.
    pub fn allocator_position(&self, number: u64) -> Option<u64> {
        if number == 0 {
            return None;
        }
        for position in 0..MOST_ALLOCATORS {
            let word = self.word(ALLOCATORS + position);
            let found = match word.load(Ordering::Acquire) {
                0 => match word.compare_exchange(0, number, Ordering::AcqRel, Ordering::Acquire) {
                    Ok(_) => number,
                    Err(other) => other,
                },
                found => found,
            };
            if found == number {
                return Some(position as u64);
            }
        }
        None
    }

    /// The number at a position of the table.
    pub fn allocator_number(&self, position: u64) -> Option<u64> {
        let position = usize::try_from(position).ok().filter(|position| *position < MOST_ALLOCATORS)?;
        Some(self.load(ALLOCATORS + position)).filter(|number| *number != 0)
    }

    /// Leaves a record. False if there was no room: then it is counted as dropped.
    pub fn push(&self, record: &Encoded<'_>) -> bool {
        let n = record::n_slots(&record.slot);
        // SAFETY: the thread's own line; signal handlers are kept out by `enter`.
        let hot = unsafe { &mut *hot() };
        let room = (hot.end.addr() - hot.next.addr()) / record::BYTES;
        if room < n && !self.take_segment(hot, n) {
            if record::kind_number(&record.slot) != record::Kind::Definition as usize {
                self.count_dropped(record::kind_number(&record.slot));
            }
            return false;
        }
        if n > 1 {
            // SAFETY: `n` slots from `next` on are this thread's, and nobody reads them before the commit.
            unsafe { write_tail(hot.next, n, &record.tail) };
        }
        // SAFETY: as above.
        unsafe { self.commit(hot, &record.slot, n) };
        true
    }

    /// Leaves a record of one slot where the thread's segment has room for it. False if it has not: `push` then
    /// finds another segment.
    #[inline(always)]
    pub fn push_here(&self, slot: &record::Slot) -> bool {
        // SAFETY: the thread's own line; signal handlers are kept out by `enter`.
        let hot = unsafe { &mut *hot() };
        if hot.next == hot.end {
            return false;
        }
        // SAFETY: a segment has whole slots, so the next one is this thread's.
        unsafe { self.commit(hot, slot, 1) };
        true
    }

    /// Fills the next slot, the first of `n`, and makes the record visible.
    ///
    /// # Safety
    /// `n` slots from `hot.next` on are the calling thread's, and what follows the first one is there.
    #[inline(always)]
    unsafe fn commit(&self, hot: &mut Hot, slot: &record::Slot, n: usize) {
        let (next, commit) = (hot.next, hot.commit);
        // SAFETY: the slot is this thread's and inside the mapping.
        let last = unsafe { next.add(WORDS - 1) };
        // SAFETY: as above; it is an aligned u64 that is only touched as an atomic.
        let last = unsafe { AtomicU64::from_ptr(last) };
        last.store(commit | BUSY, Ordering::Relaxed);
        std::sync::atomic::compiler_fence(Ordering::SeqCst);
        let ticks = self.ticks();
        let [_, what, place, a, b, c, d, _] = *slot;
        let words = [ticks, what | u64::from(hot.tid) << 32, place, a, b, c, d];
        // SAFETY: as above: seven words before the commit word.
        unsafe { next.cast::<[u64; WORDS - 1]>().write(words) };
        last.store(commit, Ordering::Release);
        // SAFETY: `n` slots were left, so this is at most the segment's end.
        hot.next = unsafe { next.add(n * WORDS) };
        hot.commit = commit + 2 * n as u64;
    }

    /// Gives up the thread's segment, if it has one, and takes a free one with room for `n` slots: a small one first,
    /// which is all that a thread needs which records little, then large ones while there are any.
    #[cold]
    fn take_segment(&self, hot: &mut Hot, n: usize) -> bool {
        self.retire(hot);
        let is_first = hot.is_watched == 0;
        if is_first {
            hot.tid = clock::thread_id();
            // SAFETY: the key was created with the spool; any value but null makes the destructor run.
            unsafe { libc::pthread_setspecific(self.key, ptr::from_ref(self).cast()) };
            hot.is_watched = 1;
        }
        let fits_small = n <= SMALL_SLOTS;
        (is_first && fits_small && self.take_from(&self.small, hot))
            || (n <= self.layout.n_slots && self.take_from(&self.large, hot))
            || (fits_small && self.take_from(&self.small, hot))
    }

    fn take_from(&self, class: &Class, hot: &mut Hot) -> bool {
        let is_there = |n_free: usize| n_free.checked_sub(1);
        if class.n_free.fetch_update(Ordering::Acquire, Ordering::Relaxed, is_there).is_err() {
            return false;
        }
        let (start, n) = (class.hint.load(Ordering::Relaxed), class.segments.len());
        // Twice: others may have taken what was in front and freed what was behind.
        for i in 0..2 * n {
            let segment = class.segments.start + (start + i) % n;
            let word = self.word(self.layout.segment_word(segment, segment::STATE));
            let state = word.load(Ordering::Acquire);
            let generation = (state >> 32) + 1;
            let owned = generation << 32 | OWNED;
            let is_free = state & 0xffff_ffff == FREE;
            if is_free && word.compare_exchange(state, owned, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
                class.hint.store((start + i + 1) % n, Ordering::Relaxed);
                // Before anything is committed in it.
                class.n_used.fetch_max((start + i) % n + 1, Ordering::Release);
                hot.segment = u32::try_from(segment).unwrap_or(0);
                // SAFETY: the layout's own offsets.
                hot.next = unsafe { self.base.add(self.layout.slot(segment, 0)) }.cast();
                // SAFETY: as above; the end of the segment is the start of the next.
                hot.end = unsafe { self.base.add(self.layout.slot(segment + 1, 0)) }.cast();
                hot.commit = spool::commit_word(generation, 0);
                return true;
            }
        }
        class.n_free.fetch_add(1, Ordering::Release);
        false
    }

    /// How many small segments, and how many others, any thread has ever had, from the first of each on.
    pub fn n_used(&self) -> (usize, usize) {
        (self.small.n_used.load(Ordering::Acquire), self.large.n_used.load(Ordering::Acquire))
    }

    /// Gives a segment back in which nothing is left to read. By the worker only.
    pub fn free(&self, segment: usize, generation: u64) {
        self.store(self.layout.segment_word(segment, segment::STATE), generation << 32 | FREE);
        let class = if segment < self.layout.n_small { &self.small } else { &self.large };
        class.n_free.fetch_add(1, Ordering::Release);
    }

    /// The thread will write no more into its segment.
    fn retire(&self, hot: &mut Hot) {
        if hot.next.is_null() {
            return;
        }
        let segment = usize::try_from(hot.segment).unwrap_or(0);
        // SAFETY: the layout's own offset.
        let start = unsafe { self.base.add(self.layout.slot(segment, 0)) };
        let used = (hot.next.addr() - start.addr()) / record::BYTES;
        let state = self.layout.segment_word(segment, segment::STATE);
        let generation = self.load(state) >> 32;
        self.store(self.layout.segment_word(segment, segment::LIMIT), generation << 32 | used as u64);
        self.store(state, generation << 32 | RETIRED);
        hot.next = ptr::null_mut();
        hot.end = ptr::null_mut();
    }

    /// Counts an event of that kind as refused; kind 0 is one that came while its thread was inside another.
    pub fn count_dropped(&self, kind: usize) {
        self.word(DROPPED + kind.min(record::Kind::ALL.len())).fetch_add(1, Ordering::Relaxed);
    }

    /// Events refused so far.
    pub fn n_dropped(&self) -> u64 {
        spool::n_dropped(|at| self.load(at))
    }

    #[inline(always)]
    fn ticks(&self) -> u64 {
        if self.has_tsc { clock::ordered_tsc() } else { clock::monotonic_ns() }
    }

    /// Both clocks at one moment: the closest of several pairs, since the thread may lose its core in between.
    fn anchor(&self) -> (u64, u64) {
        let pair = || {
            let (before, ns, after) = (self.ticks(), clock::monotonic_ns(), self.ticks());
            let width = after.wrapping_sub(before);
            (width, before.wrapping_add(width / 2), ns)
        };
        let closest = std::iter::repeat_with(pair).take(5).min_by_key(|(width, ..)| *width);
        closest.map_or((0, 0), |(_, ticks, ns)| (ticks, ns))
    }

    /// Writes down what the clock reads now, for whoever turns readings into nanoseconds.
    pub fn renew_anchor(&self) {
        let (mut ticks, mut ns) = self.anchor();
        let first = (self.load(ANCHORS), self.load(ANCHORS + 1));
        // Two readings that are too close together would make a crooked line.
        while ns - first.1 < 100_000 {
            (ticks, ns) = self.anchor();
        }
        self.store(ANCHORS + 2, ticks);
        self.store(ANCHORS + 3, ns);
    }

    /// Removes the file: everything in it stands in the capture.
    pub fn remove(&self) {
        // It may be gone already; nobody needs to know.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// # Safety
/// `first` is the first of `n` slots that belong to the calling thread.
unsafe fn write_tail(first: *mut u64, n: usize, tail: &Tail<'_>) {
    // SAFETY: `n` is at least 2.
    let second = unsafe { first.add(WORDS) };
    match tail {
        Tail::None => {}
        Tail::Slot(slot, text) => {
            // SAFETY: as words or as bytes, they are the same 64.
            let bytes = unsafe { &*ptr::from_ref(slot).cast::<[u8; record::BYTES]>() };
            // SAFETY: the slots behind the first one are the caller's.
            unsafe { write_bytes(second.cast(), n - 1, bytes, text) };
        }
        // SAFETY: as above.
        Tail::Bytes(name, more) => unsafe { write_bytes(second.cast(), n - 1, name, more) },
    }
}

/// # Safety
/// So many slots, from there on, belong to the calling thread.
unsafe fn write_bytes(first: *mut u8, n_slots: usize, bytes: &[u8], more: &[u8]) {
    let room = n_slots * record::BYTES;
    let length = bytes.len().min(room);
    // SAFETY: the slots are the caller's, and hold that many bytes.
    unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), first, length) };
    // SAFETY: as above.
    let behind = unsafe { first.add(length) };
    // SAFETY: as above: what is left of the room.
    unsafe { ptr::copy_nonoverlapping(more.as_ptr(), behind, more.len().min(room - length)) };
}

/// At a thread's end its segment goes back to the worker. An event in a later destructor takes another one.
extern "C" fn thread_ends(spool: *mut libc::c_void) {
    if !enter() {
        return;
    }
    // SAFETY: the value was set to a spool, which is never freed while the process lives.
    let spool = unsafe { &*spool.cast::<Spool>() };
    // SAFETY: the thread's own line.
    let hot = unsafe { &mut *hot() };
    if state::is_on() {
        spool.retire(hot);
        hot.is_watched = 0;
    }
    leave();
}

/// Gives the file its length and space, and maps it. Its origin goes first: the rest takes time, and whoever finds the
/// spool of a process that was killed meanwhile knows whose it was.
fn reserve(file: &File, bytes: usize, origin: &[u8]) -> io::Result<*mut libc::c_void> {
    let length = libc::off_t::try_from(bytes).map_err(|_| io::ErrorKind::OutOfMemory)?;
    let error = lifecycle::without_signals_of_writing(|| {
        // In one write, of which a kill leaves all or nothing. Where there is no room for it, there is none for the rest.
        let _ = file.write_at(origin, (ORIGIN * size_of::<u64>()) as u64);
        // SAFETY: plain numbers and an open descriptor. The answer is the error itself.
        unsafe { libc::posix_fallocate(file.as_raw_fd(), 0, length) }
    });
    if error != 0 {
        return Err(io::Error::from_raw_os_error(error));
    }
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: a new mapping at a place the kernel chooses.
    let base =
        unsafe { libc::mmap(ptr::null_mut(), bytes, protection, libc::MAP_SHARED, file.as_raw_fd(), 0) };
    if base == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the mapping just made.
    unsafe { libc::madvise(base, bytes, libc::MADV_DONTFORK) };
    let first = bytes.min(256 * 1024);
    // SAFETY: the start of the mapping just made.
    unsafe { libc::madvise(base, first, libc::MADV_POPULATE_WRITE) };
    Ok(base)
}
