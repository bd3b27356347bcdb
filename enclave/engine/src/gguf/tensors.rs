//! The tensor directory, and the tensors' data in file order.

use super::dtype::StorageType;
use super::reader::DigestingReader;
use crate::LoadError;

/// A directory entry, checked on its own: its size is known and its offset aligned.
#[derive(Debug, Clone)]
pub(crate) struct TensorInfo {
    pub(crate) name: String,
    /// Outermost dimension first, as candle has it: the reverse of the file's order.
    pub(crate) shape: Vec<usize>,
    pub(crate) storage: StorageType,
    /// From the start of the data.
    pub(crate) offset: u64,
    pub(crate) bytes: u64,
    pub(crate) elements: u64,
}

impl TensorInfo {
    pub(super) fn read(reader: &mut DigestingReader<'_>, alignment: u64) -> Result<Self, LoadError> {
        let what = "a tensor's name";
        let length = u64::from_le_bytes(reader.read_array(what)?);
        if length > NAME_BYTES_MAX {
            return Err(LoadError::TooLarge { what: what.to_owned(), value: length, max: NAME_BYTES_MAX });
        }
        let name = String::from_utf8(reader.read_vec(length, what)?)
            .map_err(|_| LoadError::Malformed { what: what.to_owned(), problem: "text that is not UTF-8" })?;

        let what = format!("the directory entry of {name}");
        let malformed = |problem| LoadError::Malformed { what: what.clone(), problem };
        let rank = u32::from_le_bytes(reader.read_array(&what)?);
        if rank == 0 || rank > RANK_MAX {
            return Err(malformed("a tensor has one to four dimensions"));
        }
        let mut shape = Vec::new();
        let mut elements: u64 = 1;
        for _ in 0..rank {
            let dimension = u64::from_le_bytes(reader.read_array(&what)?);
            elements = elements
                .checked_mul(dimension)
                .filter(|product| *product > 0)
                .ok_or_else(|| malformed("a dimension is 0 or their product overflows"))?;
            shape.push(usize::try_from(dimension).map_err(|_| malformed("a dimension overflows"))?);
        }
        let number = u32::from_le_bytes(reader.read_array(&what)?);
        let storage = StorageType::from_number(number)
            .map_err(|found| LoadError::UnsupportedQuantization { tensor: name.clone(), found })?;
        let row = shape.first().copied().unwrap_or(0);
        if !u64::try_from(row).unwrap_or(0).is_multiple_of(storage.block_elements) {
            return Err(malformed("a row is not a whole number of blocks"));
        }
        let bytes = elements
            .checked_div(storage.block_elements)
            .and_then(|blocks| blocks.checked_mul(storage.block_bytes))
            .ok_or_else(|| malformed("its size overflows"))?;
        let offset = u64::from_le_bytes(reader.read_array(&what)?);
        if !offset.is_multiple_of(alignment) {
            return Err(malformed("its offset is not aligned"));
        }
        shape.reverse();
        Ok(Self { name, shape, storage, offset, bytes, elements })
    }
}

/// Yields tensors in file order.
pub(crate) struct TensorReader<'r, 'a> {
    reader: &'r mut DigestingReader<'a>,
    /// From the last in the file to the first.
    pending: Vec<TensorInfo>,
    data_offset: u64,
}

impl<'r, 'a> TensorReader<'r, 'a> {
    /// Checks that the tensors lie one behind the other, within the file, under distinct names.
    pub(crate) fn new(
        reader: &'r mut DigestingReader<'a>,
        mut tensors: Vec<TensorInfo>,
        data_offset: u64,
    ) -> Result<Self, LoadError> {
        tensors.sort_by(|a, b| a.name.cmp(&b.name));
        if let Some([first, _]) = tensors.array_windows().find(|[a, b]| a.name == b.name) {
            return Err(LoadError::DuplicateTensor { name: first.name.clone() });
        }
        tensors.sort_by_key(|tensor| tensor.offset);
        let mut end = 0;
        for tensor in &tensors {
            if tensor.offset < end {
                return Err(LoadError::OverlappingTensor { name: tensor.name.clone() });
            }
            end = tensor.offset.checked_add(tensor.bytes).ok_or_else(|| LoadError::TooLarge {
                what: format!("the offset of {}", tensor.name),
                value: tensor.offset,
                max: reader.remaining(),
            })?;
            if end > reader.remaining() {
                return Err(LoadError::Truncated {
                    what: format!("the data of {}", tensor.name),
                    needed: end,
                    available: reader.remaining(),
                });
            }
        }
        tensors.reverse();
        Ok(Self { reader, pending: tensors, data_offset })
    }

    /// The next tensor and its bytes.
    pub(crate) fn next_tensor(&mut self) -> Result<Option<(TensorInfo, Vec<u8>)>, LoadError> {
        let Some(tensor) = self.pending.pop() else { return Ok(None) };
        let start = self.data_offset.saturating_add(tensor.offset);
        let what = format!("the data of {}", tensor.name);
        self.reader.skip(start.saturating_sub(self.reader.position()), &what)?;
        let bytes = self.reader.read_vec(tensor.bytes, &what)?;
        Ok(Some((tensor, bytes)))
    }
}

/// `GGML_MAX_NAME` is 64; some writers go beyond.
const NAME_BYTES_MAX: u64 = 1024;

/// `GGML_MAX_DIMS`
const RANK_MAX: u32 = 4;
