//! AMD's certificate authorities, by value. Provenance and digests: `roots/amd/README.md`.

/// The ARKs: what is believed.
pub(crate) const ARKS: [&[u8]; 3] = [
    include_bytes!("../../roots/amd/milan-ark.der"),
    include_bytes!("../../roots/amd/genoa-ark.der"),
    include_bytes!("../../roots/amd/turin-ark.der"),
];

/// The ASKs and ASVKs: a convenience for callers who have a VEK only. Each is verified under an ARK
/// like any other, so they are not believed by standing here.
pub(super) const INTERMEDIATES: [&[u8]; 6] = [
    include_bytes!("../../roots/amd/milan-ask.der"),
    include_bytes!("../../roots/amd/genoa-ask.der"),
    include_bytes!("../../roots/amd/turin-ask.der"),
    include_bytes!("../../roots/amd/milan-asvk.der"),
    include_bytes!("../../roots/amd/genoa-asvk.der"),
    include_bytes!("../../roots/amd/turin-asvk.der"),
];
