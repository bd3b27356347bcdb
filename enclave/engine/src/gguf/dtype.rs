//! How a tensor's elements are stored.

use candle_core::quantized::GgmlDType;

/// A storage type that this engine computes with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StorageType {
    /// Its name in the ggml sources.
    pub(crate) name: &'static str,
    /// The same for candle.
    pub(crate) dtype: GgmlDType,
    /// Elements in a block.
    pub(crate) block_elements: u64,
    /// Bytes in a block.
    pub(crate) block_bytes: u64,
}

impl StorageType {
    pub(crate) const F32: Self = Self::plain("F32", GgmlDType::F32, 4);
    pub(crate) const F16: Self = Self::plain("F16", GgmlDType::F16, 2);
    pub(crate) const BF16: Self = Self::plain("BF16", GgmlDType::BF16, 2);

    const fn plain(name: &'static str, dtype: GgmlDType, block_bytes: u64) -> Self {
        Self { name, dtype, block_elements: 1, block_bytes }
    }

    /// The type with this number in a tensor's directory entry.
    ///
    /// # Errors
    /// The name of a type that exists and is not supported, or the number in words.
    pub(crate) fn from_number(number: u32) -> Result<Self, String> {
        use GgmlDType as D;
        // Block sizes: `ggml-common.h`. Q8_1 and Q8_K are for activations and are never stored.
        let (name, dtype, block_elements, block_bytes) = match number {
            0 => ("F32", D::F32, 1, 4),
            1 => ("F16", D::F16, 1, 2),
            2 => ("Q4_0", D::Q4_0, 32, 18),
            3 => ("Q4_1", D::Q4_1, 32, 20),
            6 => ("Q5_0", D::Q5_0, 32, 22),
            7 => ("Q5_1", D::Q5_1, 32, 24),
            8 => ("Q8_0", D::Q8_0, 32, 34),
            10 => ("Q2_K", D::Q2K, 256, 84),
            11 => ("Q3_K", D::Q3K, 256, 110),
            12 => ("Q4_K", D::Q4K, 256, 144),
            13 => ("Q5_K", D::Q5K, 256, 176),
            14 => ("Q6_K", D::Q6K, 256, 210),
            30 => ("BF16", D::BF16, 1, 2),
            _ => return Err(unsupported_name(number)),
        };
        Ok(Self { name, dtype, block_elements, block_bytes })
    }
}

/// The name of a type that this engine does not support: enum `ggml_type` in `ggml.h`.
fn unsupported_name(number: u32) -> String {
    let name = match number {
        9 => "Q8_1",
        15 => "Q8_K",
        16 => "IQ2_XXS",
        17 => "IQ2_XS",
        18 => "IQ3_XXS",
        19 => "IQ1_S",
        20 => "IQ4_NL",
        21 => "IQ3_S",
        22 => "IQ2_S",
        23 => "IQ4_XS",
        24 => "I8",
        25 => "I16",
        26 => "I32",
        27 => "I64",
        28 => "F64",
        29 => "IQ1_M",
        34 => "TQ1_0",
        35 => "TQ2_0",
        39 => "MXFP4",
        _ => return format!("number {number}"),
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_agree_with_candle() {
        for number in 0..64 {
            if let Ok(storage) = StorageType::from_number(number) {
                assert_eq!(storage.block_elements, storage.dtype.block_size() as u64, "{}", storage.name);
                assert_eq!(storage.block_bytes, storage.dtype.type_size() as u64, "{}", storage.name);
            }
        }
    }
}
