//! The C side: SQLite's `sqlite3_vfs`. What it does with an open file is in `methods`.
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
use std::time::Duration;

use rusqlite::ffi;

use super::Disk;
use super::handle::Handle;
use super::methods::{File, METHODS, code};

/// The name of the file system, for `sqlite3_open_v2` and whatever takes one.
pub const VFS: &str = "simulated-disk";
const VFS_C: &CStr = c"simulated-disk";

/// Longest path, with its end.
const MAX_PATH: c_int = 512;
/// 2001-09-09 01:46:40 UTC in SQLite's milliseconds: a simulation's SQL has no clock of its own.
const NOW_MS: i64 = 210_866_760_000_000 + 1_000_000_000_000;

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

/// SQLite waits for a lock that another connection has. That is another thread, so this is real time; a simulation
/// with one thread never gets here unless it would wait for itself.
unsafe extern "C" fn x_sleep(_vfs: *mut ffi::sqlite3_vfs, microseconds: c_int) -> c_int {
    std::thread::sleep(Duration::from_micros(u64::try_from(microseconds).unwrap_or(0)));
    microseconds
}

unsafe extern "C" fn x_current_time(_vfs: *mut ffi::sqlite3_vfs, out: *mut ffi::sqlite3_int64) -> c_int {
    // SAFETY: SQLite's own integer.
    unsafe { *out = NOW_MS };
    ffi::SQLITE_OK
}
