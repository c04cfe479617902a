//! The C side of an open file: SQLite's `sqlite3_io_methods` over [`Handle`]. Why `unsafe` is allowed here stands in
//! `vfs`.
#![allow(unsafe_code)]

use std::ffi::{c_int, c_void};
use std::sync::atomic::{Ordering, fence};

use rusqlite::ffi;

use super::handle::Handle;
use super::locks::{Level, REGION_BYTES, SLOTS, ShmLock};
use super::state::Answer;

/// What SQLite allocates for an open file.
#[repr(C)]
pub(super) struct File {
    pub(super) base: ffi::sqlite3_file,
    /// From `Box::into_raw`; SQLite calls no method before `x_open` has set it, and none after `x_close`.
    pub(super) handle: *mut Handle,
}

pub(super) static METHODS: ffi::sqlite3_io_methods = ffi::sqlite3_io_methods {
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

/// SQLite's code for an answer.
pub(super) fn code(answer: Answer) -> c_int {
    answer.err().unwrap_or(ffi::SQLITE_OK)
}

/// The open file behind SQLite's pointer.
///
/// # Safety
/// `file` is one that `x_open` has opened and [`x_close`] has not closed. SQLite calls its methods one at a time,
/// and the reference is not kept after the method returns.
unsafe fn handle<'a>(file: *mut ffi::sqlite3_file) -> &'a mut Handle {
    // SAFETY: as above: `x_open` made the struct a `File` with a handle that lives until `x_close`.
    unsafe { &mut *(*file.cast::<File>()).handle }
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
