//! From a file's tensors to matrices and vectors.

use candle_core::quantized::{GgmlDType, QStorage, QTensor};
use candle_core::{DType, Device, Result, Tensor};

use crate::LoadError;
use crate::gguf::TensorInfo;
use crate::kernels::{Matrix, Pool};

/// Some rows of a tensor as a matrix; with `expand`, in `f32` whatever the file has. Storage types
/// without kernels of their own are expanded too.
pub(super) fn matrix(
    pool: &Pool,
    info: &TensorInfo,
    rows: std::ops::Range<usize>,
    bytes: &[u8],
    expand: bool,
) -> std::result::Result<Matrix, LoadError> {
    let problem = |problem: String| LoadError::Tensor { name: info.name.clone(), problem };
    let (all, columns) = match *info.shape.as_slice() {
        [rows, columns] => (rows, columns),
        // Several of equal size, one behind the other.
        [count, rows, columns] => (count.saturating_mul(rows), columns),
        _ => return Err(problem("it is no matrix".to_owned())),
    };
    let row_bytes = bytes.len().checked_div(all).unwrap_or(0);
    let part = rows.start.saturating_mul(row_bytes)..rows.end.saturating_mul(row_bytes);
    let Some(part) = bytes.get(part) else { return Err(problem("it has too few rows".to_owned())) };
    if !expand
        && let Some(matrix) = Matrix::pack(pool, info.storage.dtype, rows.len(), columns, part)
            .map_err(|error| problem(error.to_string()))?
    {
        return Ok(matrix);
    }
    let values = floats(info.storage.dtype, &[rows.len(), columns], part)
        .map_err(|error| problem(error.to_string()))?;
    Matrix::from_floats(rows.len(), columns, &values)
        .map_err(|error| problem(error.to_string()))?
        .ok_or_else(|| problem("its size is wrong".to_owned()))
}

/// A vector in `f32`.
pub(super) fn vector(info: &TensorInfo, bytes: &[u8]) -> std::result::Result<Vec<f32>, LoadError> {
    floats(info.storage.dtype, &info.shape, bytes)
        .map_err(|error| LoadError::Tensor { name: info.name.clone(), problem: error.to_string() })
}

fn floats(storage: GgmlDType, shape: &[usize], bytes: &[u8]) -> Result<Vec<f32>> {
    let dtype = match storage {
        GgmlDType::F32 => DType::F32,
        GgmlDType::F16 => DType::F16,
        GgmlDType::BF16 => DType::BF16,
        quantized => {
            let data = QStorage::from_data(bytes.into(), &Device::Cpu, quantized)?;
            return QTensor::new(data, shape)?.dequantize(&Device::Cpu)?.flatten_all()?.to_vec1();
        }
    };
    Tensor::from_raw_buffer(bytes, dtype, shape, &Device::Cpu)?.to_dtype(DType::F32)?.flatten_all()?.to_vec1()
}
