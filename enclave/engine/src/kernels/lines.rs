//! Memory for weights: whole cache lines, zeroed, on large pages where the system has them.

use memmap2::MmapMut;

use super::LANES;

/// A cache line.
#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
pub(super) struct Line(pub(super) [u8; LINE_BYTES]);

impl Line {
    /// Sixteen bytes, a lane each: quarter 0 to 3.
    pub(super) fn quarter(&self, index: usize) -> &[u8; LANES] {
        &self.0.as_chunks().0[index]
    }

    /// Sixteen halves, little-endian: half 0 or 1.
    pub(super) fn half(&self, index: usize) -> &[u8; 2 * LANES] {
        &self.0.as_chunks().0[index]
    }

    /// The lane's four bytes.
    pub(super) fn lane(&self, lane: usize) -> &[u8; 4] {
        &self.0.as_chunks().0[lane]
    }

    pub(super) fn lane_mut(&mut self, lane: usize) -> &mut [u8; 4] {
        &mut self.0.as_chunks_mut().0[lane]
    }

    /// Sixteen `f32`, as [`Self::set_float`] stored them.
    pub(super) fn floats(&self) -> &[f32; LANES] {
        // SAFETY: a line is 64 bytes, aligned to 64, and any 4 bytes are an `f32`.
        unsafe { &*std::ptr::from_ref(&self.0).cast() }
    }

    pub(super) fn set_float(&mut self, lane: usize, value: f32) {
        *self.lane_mut(lane) = value.to_ne_bytes();
    }
}

/// A buffer of lines. Large pages matter: with small ones a plain read of a model's weights takes a
/// tenth longer, for looking up addresses.
pub(super) struct Lines {
    map: Option<MmapMut>,
    count: usize,
}

impl Lines {
    /// All zero.
    pub(super) fn zeroed(count: usize) -> std::io::Result<Self> {
        let bytes = count.checked_mul(LINE_BYTES).ok_or(std::io::ErrorKind::OutOfMemory)?;
        if bytes == 0 {
            return Ok(Self { map: None, count: 0 });
        }
        let map = MmapMut::map_anon(bytes)?;
        #[cfg(target_os = "linux")]
        if bytes >= LARGE_PAGE_BYTES {
            // A system without large pages works all the same.
            let _ = map.advise(memmap2::Advice::HugePage);
        }
        Ok(Self { map: Some(map), count })
    }

    pub(super) fn as_slice(&self) -> &[Line] {
        match &self.map {
            // SAFETY: the mapping is private, `count` lines long and aligned to a page; any bytes
            // are a line; the borrow of `self` keeps it mapped and unchanged.
            Some(map) => unsafe { std::slice::from_raw_parts(map.as_ptr().cast(), self.count) },
            None => &[],
        }
    }

    pub(super) fn as_mut_slice(&mut self) -> &mut [Line] {
        match &mut self.map {
            // SAFETY: as above, and the exclusive borrow of `self` makes this the only access.
            Some(map) => unsafe { std::slice::from_raw_parts_mut(map.as_mut_ptr().cast(), self.count) },
            None => &mut [],
        }
    }
}

const LINE_BYTES: usize = 64;
#[cfg(target_os = "linux")]
const LARGE_PAGE_BYTES: usize = 2 * 1024 * 1024;
