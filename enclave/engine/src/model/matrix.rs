//! Weights as they are multiplied.

use std::sync::Arc;

use candle_core::quantized::{GgmlDType, QStorage, QTensor};
use candle_core::{DType, Device, Result, Tensor};

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
