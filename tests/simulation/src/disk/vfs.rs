//! The C side: SQLite's `sqlite3_vfs` and `sqlite3_io_methods` over [`Handle`].
//!
//! The workspace denies `unsafe`; here it is allowed because SQLite takes a file system as C structs and function
//! pointers only. No crate gives this: `sqlite-vfs` copies the shared memory and never unregisters, and
//! `sqlite-plugin` needs `bindgen`, which needs clang. The crate is used by tests only.
//!
//! There is one VFS for the whole process, never unregistered, and a path says which disk is meant: so there is no
//! VFS that a connection could outlive, and however many disks there were, nothing is left of them.
//!
//! A panic in here ends the process, for it must not unwind into C (`extern "C"` sees to that).
#![allow(unsafe_code)]

use std::ffi::{CStr, c_char, c_int, c_void};
use std::sync::OnceLock;
use std::sync::atomic::{Ordering, fence};
use std::time::Duration;

use rusqlite::ffi;

use super::Disk;
use super::handle::Handle;
use super::locks::{Level, REGION_BYTES, SLOTS, ShmLock};
use super::state::Answer;

/// The name of the file system, for `sqlite3_open_v2` and whatever takes one.
pub const VFS: &str = "simulated-disk";
const VFS_C: &CStr = c"simulated-disk";

/// Longest path, with its end.
const MAX_PATH: c_int = 512;
/// 2001-09-09 01:46:40 UTC in SQLite's milliseconds: a simulation's SQL has no clock of its own.
const NOW_MS: i64 = 210_866_760_000_000 + 1_000_000_000_000;

/// What SQLite allocates for an open file.
#[repr(C)]
struct File {
    base: ffi::sqlite3_file,
    /// From `Box::into_raw`; SQLite calls no method before `x_open` has set it, and none after `x_close`.
    handle: *mut Handle,
}

static METHODS: ffi::sqlite3_io_methods = ffi::sqlite3_io_methods {
    iVersion: 2,
    xClose: Some(x_close),
    xRead: Some(x_read),
    xWrite: Some(x_write),
    xTruncate: Some(x_truncate),
    xSync: Some(x_sync),
    xFileSize: Some(x_file_size),
    xLock: Some(x_lock),
    xUnlock: Some(x_unlock),
    xCheckReservedLock: Some(x_check_reserved_lock),
    xFileControl: Some(x_file_control),
    xSectorSize: Some(x_sector_size),
    xDeviceCharacteristics: Some(x_device_characteristics),
    xShmMap: Some(x_shm_map),
    xShmLock: Some(x_shm_lock),
    xShmBarrier: Some(x_shm_barrier),
    xShmUnmap: Some(x_shm_unmap),
    xFetch: None,
    xUnfetch: None,
};

/// Makes SQLite know the VFS; does nothing the second time.
pub(super) fn register() {
    static REGISTERED: OnceLock<c_int> = OnceLock::new();
    let code = *REGISTERED.get_or_init(|| {
        let vfs = Box::leak(Box::new(ffi::sqlite3_vfs {
            iVersion: 2,
            szOsFile: size_of::<File>() as c_int,
            mxPathname: MAX_PATH,
            pNext: std::ptr::null_mut(),
            zName: VFS_C.as_ptr(),
            pAppData: std::ptr::null_mut(),
            xOpen: Some(x_open),
            xDelete: Some(x_delete),
            xAccess: Some(x_access),
            xFullPathname: Some(x_full_pathname),
            xDlOpen: Some(x_dl_open),
            xDlError: Some(x_dl_error),
            xDlSym: None,
            xDlClose: None,
            xRandomness: Some(x_randomness),
            xSleep: Some(x_sleep),
            xCurrentTime: None,
            xGetLastError: None,
            xCurrentTimeInt64: Some(x_current_time),
            xSetSystemCall: None,
            xGetSystemCall: None,
            xNextSystemCall: None,
        }));
        // SAFETY: the struct is complete and, leaked, lives as long as the process; SQLite locks its own list.
        unsafe { ffi::sqlite3_vfs_register(vfs, 0) }
    });
    assert_eq!(code, ffi::SQLITE_OK, "SQLite takes the simulated disk's VFS");
}

fn code(answer: Answer) -> c_int {
    answer.err().unwrap_or(ffi::SQLITE_OK)
}

/// The open file behind SQLite's pointer.
///
/// # Safety
/// `file` is one that [`x_open`] has opened and [`x_close`] has not closed. SQLite calls its methods one at a time,
/// and the reference is not kept after the method returns.
unsafe fn handle<'a>(file: *mut ffi::sqlite3_file) -> &'a mut Handle {
    // SAFETY: as above: `x_open` made the struct a `File` with a handle that lives until `x_close`.
    unsafe { &mut *(*file.cast::<File>()).handle }
}

/// The path behind SQLite's pointer, or nothing if it is none of ours.
///
/// # Safety
/// `path` is null or ends with a zero, and lives as long as the result is used.
unsafe fn text<'a>(path: *const c_char) -> Option<&'a str> {
    if path.is_null() {
        return None;
    }
    // SAFETY: as above.
    unsafe { CStr::from_ptr(path) }.to_str().ok()
}

unsafe extern "C" fn x_open(
    _vfs: *mut ffi::sqlite3_vfs,
    path: ffi::sqlite3_filename,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    out_flags: *mut c_int,
) -> c_int {
    let file = file.cast::<File>();
    // SAFETY: SQLite allocates `szOsFile` bytes, which is a `File`. Without methods it is not closed.
    unsafe { (*file).base.pMethods = std::ptr::null() };
    let opened = if path.is_null() {
        // A temporary file has no name and is on no disk: it gets one for itself, which goes with it.
        Handle::open(Disk::new(0), 0, "temporary", flags)
    } else {
        // SAFETY: SQLite's names end with a zero.
        let found = unsafe { text(path) }.and_then(Disk::resolve);
        match found {
            Some((disk, boot, name)) => Handle::open(disk, boot, name, flags),
            None => Err(ffi::SQLITE_CANTOPEN),
        }
    };
    match opened {
        Err(code) => code,
        Ok(handle) => {
            // SAFETY: as above; `out_flags` is null or SQLite's own integer.
            unsafe {
                (*file).handle = Box::into_raw(Box::new(handle));
                (*file).base.pMethods = &raw const METHODS;
                if !out_flags.is_null() {
                    *out_flags = flags;
                }
            }
            ffi::SQLITE_OK
        }
    }
}

unsafe extern "C" fn x_close(file: *mut ffi::sqlite3_file) -> c_int {
    let file = file.cast::<File>();
    // SAFETY: `x_open` has made this pointer from a box, and SQLite closes a file once; without methods it calls
    // nothing any more.
    unsafe {
        drop(Box::from_raw((*file).handle));
        (*file).base.pMethods = std::ptr::null();
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn x_read(
    file: *mut ffi::sqlite3_file,
    buf: *mut c_void,
    len: c_int,
    offset: ffi::sqlite3_int64,
) -> c_int {
    let (Ok(len), Ok(offset)) = (usize::try_from(len), usize::try_from(offset)) else {
        return ffi::SQLITE_IOERR_READ;
    };
    // SAFETY: the buffer has `len` bytes and is SQLite's alone during the call. It may hold uninitialised bytes,
    // which is why it is filled before anything sees it as a slice.
    let buf = unsafe {
        std::ptr::write_bytes(buf.cast::<u8>(), 0, len);
        std::slice::from_raw_parts_mut(buf.cast::<u8>(), len)
    };
    // SAFETY: an open file, see `handle`.
    code(unsafe { handle(file) }.read(offset, buf))
}

unsafe extern "C" fn x_write(
    file: *mut ffi::sqlite3_file,
    data: *const c_void,
    len: c_int,
    offset: ffi::sqlite3_int64,
) -> c_int {
    let (Ok(len), Ok(offset)) = (usize::try_from(len), usize::try_from(offset)) else {
        return ffi::SQLITE_IOERR_WRITE;
    };
    // SAFETY: SQLite hands over `len` bytes that it does not change during the call.
    let data = unsafe { std::slice::from_raw_parts(data.cast::<u8>(), len) };
    // SAFETY: an open file, see `handle`.
    code(unsafe { handle(file) }.write(offset, data))
}

unsafe extern "C" fn x_truncate(file: *mut ffi::sqlite3_file, len: ffi::sqlite3_int64) -> c_int {
    let Ok(len) = usize::try_from(len) else { return ffi::SQLITE_IOERR_TRUNCATE };
    // SAFETY: an open file, see `handle`.
    code(unsafe { handle(file) }.truncate(len))
}

unsafe extern "C" fn x_sync(file: *mut ffi::sqlite3_file, _flags: c_int) -> c_int {
    // SAFETY: an open file, see `handle`.
    code(unsafe { handle(file) }.sync())
}

unsafe extern "C" fn x_file_size(file: *mut ffi::sqlite3_file, size: *mut ffi::sqlite3_int64) -> c_int {
    // SAFETY: an open file, see `handle`.
    match unsafe { handle(file) }.len() {
        Err(code) => code,
        Ok(len) => {
            // SAFETY: SQLite's own integer.
            unsafe { *size = i64::try_from(len).unwrap_or(i64::MAX) };
            ffi::SQLITE_OK
        }
    }
}

fn level(lock: c_int) -> Level {
    match lock {
        ffi::SQLITE_LOCK_NONE => Level::None,
        ffi::SQLITE_LOCK_SHARED => Level::Shared,
        ffi::SQLITE_LOCK_RESERVED => Level::Reserved,
        ffi::SQLITE_LOCK_PENDING => Level::Pending,
        _ => Level::Exclusive,
    }
}

unsafe extern "C" fn x_lock(file: *mut ffi::sqlite3_file, lock: c_int) -> c_int {
    // SAFETY: an open file, see `handle`.
    code(unsafe { handle(file) }.lock(level(lock)))
}

unsafe extern "C" fn x_unlock(file: *mut ffi::sqlite3_file, lock: c_int) -> c_int {
    // SAFETY: an open file, see `handle`.
    unsafe { handle(file) }.unlock(level(lock));
    ffi::SQLITE_OK
}

unsafe extern "C" fn x_check_reserved_lock(file: *mut ffi::sqlite3_file, out: *mut c_int) -> c_int {
    // SAFETY: an open file, see `handle`.
    match unsafe { handle(file) }.is_reserved() {
        Err(code) => code,
        Ok(reserved) => {
            // SAFETY: SQLite's own integer.
            unsafe { *out = c_int::from(reserved) };
            ffi::SQLITE_OK
        }
    }
}

unsafe extern "C" fn x_file_control(
    _file: *mut ffi::sqlite3_file,
    _operation: c_int,
    _argument: *mut c_void,
) -> c_int {
    ffi::SQLITE_NOTFOUND
}

/// This and the next are what SQLite's VFS for Unix says.
unsafe extern "C" fn x_sector_size(_file: *mut ffi::sqlite3_file) -> c_int {
    4096
}

unsafe extern "C" fn x_device_characteristics(_file: *mut ffi::sqlite3_file) -> c_int {
    ffi::SQLITE_IOCAP_POWERSAFE_OVERWRITE | ffi::SQLITE_IOCAP_SUBPAGE_READ
}

unsafe extern "C" fn x_shm_map(
    file: *mut ffi::sqlite3_file,
    region: c_int,
    region_bytes: c_int,
    make: c_int,
    out: *mut *mut c_void,
) -> c_int {
    let Ok(region) = usize::try_from(region) else { return ffi::SQLITE_IOERR_SHMMAP };
    if usize::try_from(region_bytes) != Ok(REGION_BYTES) {
        return ffi::SQLITE_IOERR_SHMSIZE;
    }
    // SAFETY: an open file, see `handle`.
    match unsafe { handle(file) }.shm(ffi::SQLITE_IOERR_SHMMAP) {
        Err(code) => code,
        Ok(shm) => {
            let place = shm.region(region, make != 0).unwrap_or(std::ptr::null_mut());
            // SAFETY: SQLite's own pointer. The region lives until this file is unmapped or closed, also when it
            // is dead, and SQLite does not use it after that.
            unsafe { *out = place };
            ffi::SQLITE_OK
        }
    }
}

unsafe extern "C" fn x_shm_lock(
    file: *mut ffi::sqlite3_file,
    first: c_int,
    count: c_int,
    flags: c_int,
) -> c_int {
    let (Ok(first), Ok(count)) = (usize::try_from(first), usize::try_from(count)) else {
        return ffi::SQLITE_IOERR_SHMLOCK;
    };
    if first + count > SLOTS {
        return ffi::SQLITE_IOERR_SHMLOCK;
    }
    let how = match flags {
        _ if flags & ffi::SQLITE_SHM_UNLOCK != 0 => ShmLock::Release,
        _ if flags & ffi::SQLITE_SHM_EXCLUSIVE != 0 => ShmLock::Exclusive,
        _ => ShmLock::Shared,
    };
    // SAFETY: an open file, see `handle`.
    code(unsafe { handle(file) }.shm_lock(first, count, how))
}

unsafe extern "C" fn x_shm_barrier(_file: *mut ffi::sqlite3_file) {
    fence(Ordering::SeqCst);
}

unsafe extern "C" fn x_shm_unmap(file: *mut ffi::sqlite3_file, _delete: c_int) -> c_int {
    // SAFETY: an open file, see `handle`.
    unsafe { handle(file) }.shm_unmap();
    ffi::SQLITE_OK
}

unsafe extern "C" fn x_delete(_vfs: *mut ffi::sqlite3_vfs, path: *const c_char, sync_folder: c_int) -> c_int {
    // SAFETY: SQLite's names end with a zero.
    match unsafe { text(path) }.and_then(Disk::resolve) {
        None => ffi::SQLITE_IOERR_DELETE,
        Some((disk, boot, name)) => code(disk.with(|state| {
            let alive = state.is_alive(boot);
            if alive { state.delete(name, sync_folder & 1 != 0) } else { Err(ffi::SQLITE_IOERR_DELETE) }
        })),
    }
}

unsafe extern "C" fn x_access(
    _vfs: *mut ffi::sqlite3_vfs,
    path: *const c_char,
    flags: c_int,
    out: *mut c_int,
) -> c_int {
    // SAFETY: SQLite's names end with a zero.
    let Some((disk, boot, name)) = unsafe { text(path) }.and_then(Disk::resolve) else {
        return ffi::SQLITE_IOERR_ACCESS;
    };
    let answer = disk.with(|state| {
        if !state.is_alive(boot) {
            return Err(ffi::SQLITE_IOERR_ACCESS);
        }
        let found = state.files.find(name);
        let len = found.and_then(|id| state.files.inode(id)).map(|inode| inode.len());
        // As on Unix: an empty file does not exist, but may be accessed.
        Ok(len.is_some_and(|len| len > 0 || flags != ffi::SQLITE_ACCESS_EXISTS))
    });
    match answer {
        Err(code) => code,
        Ok(accessible) => {
            // SAFETY: SQLite's own integer.
            unsafe { *out = c_int::from(accessible) };
            ffi::SQLITE_OK
        }
    }
}

/// Paths are what they are.
unsafe extern "C" fn x_full_pathname(
    _vfs: *mut ffi::sqlite3_vfs,
    path: *const c_char,
    out_len: c_int,
    out: *mut c_char,
) -> c_int {
    // SAFETY: SQLite's names end with a zero.
    let path = unsafe { CStr::from_ptr(path) }.to_bytes_with_nul();
    if usize::try_from(out_len).unwrap_or(0) < path.len() {
        return ffi::SQLITE_CANTOPEN;
    }
    // SAFETY: it fits in SQLite's buffer, which is none of its names.
    unsafe { std::ptr::copy_nonoverlapping(path.as_ptr().cast(), out, path.len()) };
    ffi::SQLITE_OK
}

/// There are no extensions to load.
unsafe extern "C" fn x_dl_open(_vfs: *mut ffi::sqlite3_vfs, _path: *const c_char) -> *mut c_void {
    std::ptr::null_mut()
}

unsafe extern "C" fn x_dl_error(_vfs: *mut ffi::sqlite3_vfs, len: c_int, out: *mut c_char) {
    if len > 0 {
        // SAFETY: SQLite's buffer of `len` bytes.
        unsafe { *out = 0 };
    }
}

/// SQLite takes its randomness from the default VFS, not from this one.
unsafe extern "C" fn x_randomness(_vfs: *mut ffi::sqlite3_vfs, len: c_int, out: *mut c_char) -> c_int {
    // SAFETY: SQLite's buffer of `len` bytes.
    unsafe { std::ptr::write_bytes(out, 0, usize::try_from(len).unwrap_or(0)) };
    len
}

/// SQLite waits for another connection's lock, which on a disk in memory is held for microseconds: a hundredth of what
/// it asks for is plenty, and a simulation with one thread, which would wait in vain, is told so soon.
unsafe extern "C" fn x_sleep(_vfs: *mut ffi::sqlite3_vfs, microseconds: c_int) -> c_int {
    std::thread::sleep(Duration::from_micros(u64::try_from(microseconds / 100).unwrap_or(0)));
    microseconds
}

unsafe extern "C" fn x_current_time(_vfs: *mut ffi::sqlite3_vfs, out: *mut ffi::sqlite3_int64) -> c_int {
    // SAFETY: SQLite's own integer.
    unsafe { *out = NOW_MS };
    ffi::SQLITE_OK
}
