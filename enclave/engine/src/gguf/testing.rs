//! Writes GGUF files for tests.

/// A file under construction.
#[derive(Default, Clone)]
pub(crate) struct GgufWriter {
    entries: Vec<(String, Vec<u8>)>,
    tensors: Vec<(String, Vec<u64>, u32, Vec<u8>)>,
}

impl GgufWriter {
    pub(crate) fn raw(mut self, key: &str, kind: u32, value: &[u8]) -> Self {
        self.entries.retain(|(name, _)| name != key);
        let mut bytes = kind.to_le_bytes().to_vec();
        bytes.extend_from_slice(value);
        self.entries.push((key.to_owned(), bytes));
        self
    }

    pub(crate) fn without(mut self, key: &str) -> Self {
        self.entries.retain(|(name, _)| name != key);
        self
    }

    pub(crate) fn u32(self, key: &str, value: u32) -> Self {
        self.raw(key, 4, &value.to_le_bytes())
    }

    pub(crate) fn f32(self, key: &str, value: f32) -> Self {
        self.raw(key, 6, &value.to_le_bytes())
    }

    pub(crate) fn bool(self, key: &str, value: bool) -> Self {
        self.raw(key, 7, &[value.into()])
    }

    pub(crate) fn string(self, key: &str, value: &str) -> Self {
        self.raw(key, 8, &string(value))
    }

    pub(crate) fn strings(self, key: &str, values: &[&str]) -> Self {
        let mut bytes = 8_u32.to_le_bytes().to_vec();
        bytes.extend_from_slice(&(values.len() as u64).to_le_bytes());
        values.iter().for_each(|value| bytes.extend_from_slice(&string(value)));
        self.raw(key, 9, &bytes)
    }

    pub(crate) fn i32s(self, key: &str, values: &[i32]) -> Self {
        let mut bytes = 5_u32.to_le_bytes().to_vec();
        bytes.extend_from_slice(&(values.len() as u64).to_le_bytes());
        values.iter().for_each(|value| bytes.extend_from_slice(&value.to_le_bytes()));
        self.raw(key, 9, &bytes)
    }

    pub(crate) fn f32s(self, key: &str, values: &[f32]) -> Self {
        let mut bytes = 6_u32.to_le_bytes().to_vec();
        bytes.extend_from_slice(&(values.len() as u64).to_le_bytes());
        values.iter().for_each(|value| bytes.extend_from_slice(&value.to_le_bytes()));
        self.raw(key, 9, &bytes)
    }

    /// A tensor; `dimensions` innermost first, as the file has them.
    pub(crate) fn tensor(mut self, name: &str, dimensions: &[u64], kind: u32, data: Vec<u8>) -> Self {
        self.tensors.retain(|(other, ..)| other != name);
        self.tensors.push((name.to_owned(), dimensions.to_vec(), kind, data));
        self
    }

    pub(crate) fn without_tensor(mut self, name: &str) -> Self {
        self.tensors.retain(|(other, ..)| other != name);
        self
    }

    /// The bytes of an entry as they stand in the file.
    pub(crate) fn entry(&self, key: &str) -> Vec<u8> {
        let (key, value) = self.entries.iter().find(|(name, _)| name == key).unwrap();
        [string(key), value.clone()].concat()
    }

    pub(crate) fn build(&self) -> Vec<u8> {
        let mut out = b"GGUF".to_vec();
        out.extend_from_slice(&3_u32.to_le_bytes());
        out.extend_from_slice(&(self.tensors.len() as u64).to_le_bytes());
        out.extend_from_slice(&(self.entries.len() as u64).to_le_bytes());
        for (key, value) in &self.entries {
            out.extend_from_slice(&string(key));
            out.extend_from_slice(value);
        }
        let mut offset = 0_u64;
        for (name, dimensions, kind, data) in &self.tensors {
            out.extend_from_slice(&string(name));
            out.extend_from_slice(&(dimensions.len() as u32).to_le_bytes());
            dimensions.iter().for_each(|value| out.extend_from_slice(&value.to_le_bytes()));
            out.extend_from_slice(&kind.to_le_bytes());
            out.extend_from_slice(&offset.to_le_bytes());
            offset = (offset + data.len() as u64).next_multiple_of(32);
        }
        out.resize(out.len().next_multiple_of(32), 0);
        for (.., data) in &self.tensors {
            out.extend_from_slice(data);
            out.resize(out.len().next_multiple_of(32), 0);
        }
        out
    }
}

fn string(text: &str) -> Vec<u8> {
    let mut bytes = (text.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(text.as_bytes());
    bytes
}
