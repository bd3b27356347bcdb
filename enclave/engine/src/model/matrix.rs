//! Weights as they are multiplied.

use std::sync::Arc;

use candle_core::quantized::{GgmlDType, QStorage, QTensor};
use candle_core::{DType, Device, Result, Storage, Tensor};

use crate::LoadError;
use crate::gguf::TensorInfo;

/// A matrix `[rows, columns]`: quantised as in the file, or in f32 where the file has floats.
#[derive(Clone)]
pub(crate) enum Matrix {
    Quantized(Arc<QTensor>),
    Dense(Tensor),
}

impl Matrix {
    pub(crate) fn from_file(info: &TensorInfo, bytes: Vec<u8>) -> std::result::Result<Self, LoadError> {
        let build = || match info.storage.dtype {
            GgmlDType::F32 | GgmlDType::F16 | GgmlDType::BF16 => Ok(Self::Dense(dense(info, &bytes)?)),
            dtype => {
                let storage = QStorage::from_data((&bytes).into(), &Device::Cpu, dtype)?;
                Ok(Self::Quantized(Arc::new(QTensor::new(storage, info.shape.as_slice())?)))
            }
        };
        build().map_err(|error| cannot_use(info, &error))
    }

    /// `input × selfᵀ` for `input` of shape `[n, columns]`.
    pub(crate) fn apply(&self, input: &Tensor) -> Result<Tensor> {
        match self {
            Self::Quantized(weights) => input.apply_op1_no_bwd(weights.as_ref()),
            Self::Dense(weights) if input.dim(0)? == 1 => one_row(weights, input),
            Self::Dense(weights) => input.matmul(&weights.t()?),
        }
    }

    /// The rows with these indices.
    pub(crate) fn rows(&self, indices: &Tensor) -> Result<Tensor> {
        match self {
            Self::Quantized(weights) => weights.embedding(indices),
            Self::Dense(weights) => weights.index_select(indices, 0),
        }
    }
}

/// The product for one row, which is what generating a token needs. The general product is made for
/// many rows: it copies the weights into another order first, which here is most of its time.
fn one_row(weights: &Tensor, input: &Tensor) -> Result<Tensor> {
    let (rows, columns) = weights.dims2()?;
    let input = input.flatten_all()?.to_vec1::<f32>()?;
    if input.len() != columns {
        candle_core::bail!("a row of {} does not fit {rows} rows of {columns}", input.len())
    }
    let (storage, layout) = weights.storage_and_layout();
    let (Storage::Cpu(storage), Some((start, end))) = (&*storage, layout.contiguous_offsets()) else {
        candle_core::bail!("the weights are not contiguous in memory")
    };
    let Some(weights) = storage.as_slice::<f32>()?.get(start..end) else {
        candle_core::bail!("the weights are not where they should be")
    };
    let output: Vec<f32> = weights.chunks_exact(columns).map(|row| dot(row, &input)).collect();
    Tensor::from_vec(output, (1, rows), &Device::Cpu)
}

/// The sum of products in a fixed order: sixteen sums side by side, which the compiler turns into
/// vector instructions, then those from first to last, then the rest.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    const LANES: usize = 16;
    let (a_lanes, a_rest) = a.as_chunks::<LANES>();
    let (b_lanes, b_rest) = b.as_chunks::<LANES>();
    let mut sums = [0.0_f32; LANES];
    for (a, b) in a_lanes.iter().zip(b_lanes) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f32>() + rest
}

/// A vector, or a matrix that is small, in f32.
pub(crate) fn float_tensor(info: &TensorInfo, bytes: &[u8]) -> std::result::Result<Tensor, LoadError> {
    let build = || match info.storage.dtype {
        GgmlDType::F32 | GgmlDType::F16 | GgmlDType::BF16 => dense(info, bytes),
        dtype => {
            let storage = QStorage::from_data(bytes.into(), &Device::Cpu, dtype)?;
            QTensor::new(storage, info.shape.as_slice())?.dequantize(&Device::Cpu)
        }
    };
    build().map_err(|error| cannot_use(info, &error))
}

fn dense(info: &TensorInfo, bytes: &[u8]) -> Result<Tensor> {
    let dtype = match info.storage.dtype {
        GgmlDType::F16 => DType::F16,
        GgmlDType::BF16 => DType::BF16,
        _ => DType::F32,
    };
    Tensor::from_raw_buffer(bytes, dtype, &info.shape, &Device::Cpu)?.to_dtype(DType::F32)
}

fn cannot_use(info: &TensorInfo, error: &candle_core::Error) -> LoadError {
    LoadError::Tensor { name: info.name.clone(), problem: error.to_string() }
}
