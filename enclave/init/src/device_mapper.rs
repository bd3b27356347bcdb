//! Device mapper by its ioctls: making one read-only device of one target.
//!
//! Linux, include/uapi/linux/dm-ioctl.h, interface version 4: a request is a header of 312 bytes and,
//! for a table, the target behind it. Debian's kernel has no `dm-mod.create=`, and no crate offers these
//! calls without a C library, so that they are made here. This module is the only one with `unsafe`.
#![allow(unsafe_code)]

use std::fs::{File, OpenOptions};

use nix::errno::Errno;

use crate::InitError;

const CONTROL: &str = "/dev/mapper/control";
const INTERFACE_VERSION: [u32; 3] = [4, 0, 0];
const NAME_BYTES: usize = 128;
const KIND_BYTES: usize = 16;
/// Length of `struct dm_ioctl`.
const HEADER_BYTES: usize = 312;
/// Length of every request: header, target and the longest parameters that are sent.
const REQUEST_BYTES: usize = 4096;

/// DM_READONLY_FLAG.
const READ_ONLY: u32 = 1;
/// Magic of the ioctls, DM_IOCTL.
const MAGIC: u8 = 0xfd;

/// One target that covers a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// Its type's name.
    pub(crate) kind: &'static str,
    /// Its length in sectors of 512 bytes.
    pub(crate) sectors: u64,
    /// Its parameters, as the type documents them.
    pub(crate) parameters: String,
}

/// The device mapper.
pub(crate) struct Control(File);

/// A request's bytes. Aligned as the kernel's structure is, although the kernel copies it.
#[repr(C, align(8))]
pub(crate) struct Request([u8; REQUEST_BYTES]);

/// Only for the size that the call numbers state: that of the header.
#[repr(C, align(8))]
pub(crate) struct Header([u8; HEADER_BYTES]);

mod call {
    use super::{Header, MAGIC};

    nix::ioctl_readwrite!(device_create, MAGIC, 3, Header);
    nix::ioctl_readwrite!(device_suspend, MAGIC, 6, Header);
    nix::ioctl_readwrite!(table_load, MAGIC, 9, Header);
}

/// One of the calls above.
type Call = unsafe fn(std::os::fd::RawFd, *mut Header) -> nix::Result<std::os::raw::c_int>;

impl Control {
    pub(crate) fn open() -> Result<Self, InitError> {
        let file = OpenOptions::new().read(true).write(true).open(CONTROL);
        file.map(Self).map_err(|error| InitError::io("open", CONTROL, &error))
    }

    /// Makes the device `name` of one target, read-only, and lets it run.
    pub(crate) fn create_read_only(&self, name: &str, target: &Target) -> Result<(), InitError> {
        let failed = |action: &'static str| {
            move |errno: Errno| InitError::errno(action, format!("the device {name}"), errno)
        };
        let too_long = || InitError::Forbidden(format!("the table of {name} is too long"));
        let mut create = Request::new(name, 0).ok_or_else(too_long)?;
        let mut load = Request::new(name, READ_ONLY).ok_or_else(too_long)?;
        load.append(target).ok_or_else(too_long)?;
        // Without the flag that suspends, the call resumes: the loaded table becomes the live one.
        let mut resume = Request::new(name, READ_ONLY).ok_or_else(too_long)?;
        self.call(call::device_create, &mut create).map_err(failed("make"))?;
        self.call(call::table_load, &mut load).map_err(failed("load the table of"))?;
        self.call(call::device_suspend, &mut resume).map_err(failed("start"))
    }

    fn call(&self, call: Call, request: &mut Request) -> Result<(), Errno> {
        use std::os::fd::AsRawFd as _;

        let request: *mut Request = request;
        // SAFETY: the descriptor is the control device's and open for as long as `self` lives. All three
        // calls read and write at most as many bytes at the pointer as the request's field `data_size`
        // says, which is REQUEST_BYTES, the length of what it points to, and nothing else refers to that
        // memory during the call. They keep no pointer into it. Bytes have no invalid values, so that
        // whatever the kernel wrote is a valid `Request`.
        unsafe { call(self.0.as_raw_fd(), request.cast()) }.map(drop)
    }
}

impl Request {
    /// A header for the device `name`; `None` where the name is too long.
    fn new(name: &str, flags: u32) -> Option<Self> {
        let mut request = Self([0; REQUEST_BYTES]);
        let mut at = 0;
        for number in INTERFACE_VERSION {
            request.put(&mut at, &number.to_ne_bytes())?;
        }
        request.put(&mut at, &u32::try_from(REQUEST_BYTES).ok()?.to_ne_bytes())?;
        request.put(&mut at, &u32::try_from(HEADER_BYTES).ok()?.to_ne_bytes())?;
        // One target; where there is none, nobody looks at the number.
        request.put(&mut at, &1u32.to_ne_bytes())?;
        // The number of openers: the kernel's to say.
        request.put(&mut at, &0u32.to_ne_bytes())?;
        request.put(&mut at, &flags.to_ne_bytes())?;
        // The event number, padding, and the device number: none is given.
        at = at.checked_add(16)?;
        request.put_text(&mut at, name, NAME_BYTES)?;
        Some(request)
    }

    /// Puts a target behind the header.
    fn append(&mut self, target: &Target) -> Option<()> {
        let mut at = HEADER_BYTES;
        // It begins with the device, and no other follows it.
        self.put(&mut at, &0u64.to_ne_bytes())?;
        self.put(&mut at, &target.sectors.to_ne_bytes())?;
        self.put(&mut at, &0i32.to_ne_bytes())?;
        self.put(&mut at, &0u32.to_ne_bytes())?;
        self.put_text(&mut at, target.kind, KIND_BYTES)?;
        let room = REQUEST_BYTES.checked_sub(at)?;
        self.put_text(&mut at, &target.parameters, room)
    }

    fn put(&mut self, at: &mut usize, bytes: &[u8]) -> Option<()> {
        let end = at.checked_add(bytes.len())?;
        self.0.get_mut(*at..end)?.copy_from_slice(bytes);
        *at = end;
        Some(())
    }

    /// Text in a field of `length` bytes, its final zero included.
    fn put_text(&mut self, at: &mut usize, text: &str, length: usize) -> Option<()> {
        if text.len() >= length || text.bytes().any(|byte| byte == 0) {
            return None;
        }
        let end = at.checked_add(length)?;
        self.put(at, text.as_bytes())?;
        *at = end;
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What header and `struct dm_target_spec` leave for parameters.
    const ROOM: usize = REQUEST_BYTES - HEADER_BYTES - 40;

    #[test]
    fn requests_are_laid_out_as_the_kernel_reads_them() {
        let mut request = Request::new("name", READ_ONLY).unwrap();
        let target = Target { kind: "verity", sectors: 8, parameters: "1 a b".into() };
        request.append(&target).unwrap();
        let number = |at: usize| u32::from_ne_bytes(request.0[at..at + 4].try_into().unwrap());
        assert_eq!([number(0), number(4), number(8)], INTERFACE_VERSION);
        // data_size, data_start, target_count, open_count, flags: offsets 12 to 28 of struct dm_ioctl.
        assert_eq!([number(12), number(16), number(20), number(24), number(28)], [4096, 312, 1, 0, 1]);
        assert_eq!(&request.0[48..53], b"name\0");
        // sector_start, length, status, next, target_type: struct dm_target_spec.
        assert_eq!(request.0[312..320], [0; 8]);
        assert_eq!(request.0[320..328], 8u64.to_ne_bytes());
        assert_eq!(&request.0[336..343], b"verity\0");
        assert_eq!(&request.0[352..358], b"1 a b\0");
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert!(Request::new(&"n".repeat(127), 0).is_some());
        assert!(Request::new(&"n".repeat(128), 0).is_none());
        assert!(Request::new("a\0b", 0).is_none());
        let mut request = Request::new("n", 0).unwrap();
        let long = |length: usize| Target { kind: "verity", sectors: 1, parameters: "p".repeat(length) };
        assert!(request.append(&long(ROOM)).is_none());
        assert!(request.append(&long(ROOM - 1)).is_some());
    }
}
