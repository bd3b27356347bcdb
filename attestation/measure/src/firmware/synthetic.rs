//! Firmware images made for tests: small, with every descriptor under the test's control.

use super::Guid;

pub(crate) const IMAGE_LEN: usize = 0x10000;
const SEV_DISTANCE: u32 = 0x800;
const TDX_DISTANCE: u32 = 0x1000;

/// A section of TDX metadata: data offset, data length, address, length, type, attributes.
pub(crate) type TdvfEntry = (u32, u32, u64, u64, u32, u32);
/// A section of SEV metadata: address, length, type.
pub(crate) type SevEntry = (u32, u32, u32);

/// What an image is built from. The default is well-formed for both technologies.
#[derive(Clone)]
pub(crate) struct Image {
    pub(crate) tdvf: Vec<TdvfEntry>,
    pub(crate) sev: Vec<SevEntry>,
    pub(crate) hashes: u32,
    pub(crate) variables: Vec<(&'static str, Guid, Vec<u8>, u8)>,
}

impl Default for Image {
    fn default() -> Self {
        Self {
            tdvf: vec![
                (0x8000, 0x8000, 0xffff_8000, 0x8000, 0, 1),
                (0, 0x8000, 0xffff_0000, 0x8000, 1, 0),
                (0, 0, 0x81_0000, 0x1_0000, 3, 0),
                (0, 0, 0x80_b000, 0x2000, 3, 0),
                (0, 0, 0x80_9000, 0x2000, 2, 0),
                (0, 0, 0x80_0000, 0x6000, 3, 0),
            ],
            sev: vec![
                (0x80_0000, 0x9000, 1),
                (0x80_d000, 0x1000, 2),
                (0x80_e000, 0x1000, 3),
                (0x80_f000, 0x1000, 4),
                (0x81_0000, 0x1000, 0x10),
            ],
            hashes: 0x81_0c00,
            variables: Vec::new(),
        }
    }
}

impl Image {
    pub(crate) fn build(&self) -> Vec<u8> {
        let mut image: Vec<u8> = (0..IMAGE_LEN).map(|i| (i % 251) as u8).collect();
        self.write_variables(&mut image);
        let sev: Vec<u8> = self
            .sev
            .iter()
            .flat_map(|(a, b, c)| [a.to_le_bytes(), b.to_le_bytes(), c.to_le_bytes()].concat())
            .collect();
        put_descriptor(&mut image, SEV_DISTANCE, b"ASEV", self.sev.len(), &sev);
        let tdvf: Vec<u8> = self
            .tdvf
            .iter()
            .flat_map(|(offset, raw, address, len, kind, attributes)| {
                let mut entry = [offset.to_le_bytes(), raw.to_le_bytes()].concat();
                entry.extend(address.to_le_bytes());
                entry.extend(len.to_le_bytes());
                entry.extend([kind.to_le_bytes(), attributes.to_le_bytes()].concat());
                entry
            })
            .collect();
        put_descriptor(&mut image, TDX_DISTANCE, b"TDVF", self.tdvf.len(), &tdvf);
        self.write_table(&mut image);
        image
    }

    fn write_table(&self, image: &mut [u8]) {
        let hashes = [self.hashes.to_le_bytes(), 0x400_u32.to_le_bytes()].concat();
        let entries: [(&str, Vec<u8>); 4] = [
            ("e47a6535-984a-4798-865e-4685a7bf8ec2", TDX_DISTANCE.to_le_bytes().to_vec()),
            ("dc886566-984a-4798-a75e-5585a7bf67cc", SEV_DISTANCE.to_le_bytes().to_vec()),
            ("7255371f-3a3b-4b04-927b-1da6efa8d454", hashes),
            ("00f771de-1a7e-4fcb-890e-68c77e2fb44e", 0x0080_b004_u32.to_le_bytes().to_vec()),
        ];
        let mut table = Vec::new();
        for (guid, data) in entries {
            table.extend(&data);
            table.extend(((data.len() + 18) as u16).to_le_bytes());
            table.extend(guid_from_text(guid).0);
        }
        let len = (table.len() + 18) as u16;
        table.extend(len.to_le_bytes());
        table.extend(guid_from_text("96b582de-1fb2-45f7-baea-a366c55a082d").0);
        let end = image.len() - 32;
        image[end - table.len()..end].copy_from_slice(&table);
    }

    fn write_variables(&self, image: &mut [u8]) {
        let volume = &mut image[..0x8000];
        volume.fill(0xff);
        volume[16..32].copy_from_slice(&guid_from_text("fff12b8d-7696-4c8b-a985-2747075b4f50").0);
        volume[40..44].copy_from_slice(b"_FVH");
        volume[48..50].copy_from_slice(&72_u16.to_le_bytes());
        let store = &mut volume[72..];
        store[..16].copy_from_slice(&guid_from_text("aaf32c78-947b-439a-a180-2e144ec37792").0);
        store[16..20].copy_from_slice(&0x4000_u32.to_le_bytes());
        let mut at = 28;
        for (name, vendor, value, state) in &self.variables {
            let name: Vec<u8> = name.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect();
            let mut header = [0_u8; 60];
            header[..3].copy_from_slice(&[0xaa, 0x55, *state]);
            header[36..40].copy_from_slice(&(name.len() as u32).to_le_bytes());
            header[40..44].copy_from_slice(&(value.len() as u32).to_le_bytes());
            header[44..60].copy_from_slice(&vendor.0);
            let whole = [&header[..], &name, value].concat();
            store[at..at + whole.len()].copy_from_slice(&whole);
            at = (at + whole.len()).next_multiple_of(4);
        }
    }
}

fn put_descriptor(image: &mut [u8], distance: u32, signature: &[u8; 4], count: usize, entries: &[u8]) {
    let start = image.len() - distance as usize;
    let length = (16 + entries.len()) as u32;
    let header =
        [*signature, length.to_le_bytes(), 1_u32.to_le_bytes(), (count as u32).to_le_bytes()].concat();
    let whole = [header, entries.to_vec()].concat();
    image[start..start + whole.len()].copy_from_slice(&whole);
}

fn guid_from_text(text: &str) -> Guid {
    let digits: String = text.chars().filter(|c| *c != '-').collect();
    let byte = |i: usize| u8::from_str_radix(&digits[2 * i..2 * i + 2], 16).unwrap();
    let d: Vec<u8> = (8..16).map(byte).collect();
    Guid::new(
        u32::from_str_radix(&digits[..8], 16).unwrap(),
        u16::from_str_radix(&digits[8..12], 16).unwrap(),
        u16::from_str_radix(&digits[12..16], 16).unwrap(),
        d.try_into().unwrap(),
    )
}
