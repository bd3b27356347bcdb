//! TDX quotes: parsing is total, and so is everything that looks at a quote before and after its
//! signatures, which are believed.
#![no_main]

use libfuzzer_sys::fuzz_target;
use vouchsafe_fuzz::{Platform, careless, planted};
use vouchsafe_verifier::tdx::Quote;

fuzz_target!(|bytes: &[u8]| {
    let Ok(quote) = Quote::parse(bytes) else { return };
    let trailing = quote.trailing();
    assert!(trailing.count < bytes.len());
    planted(|| careless::highest_attribute(quote.report().td_attributes));
    if let Ok(verified) = Platform::get().verify_quote(bytes) {
        assert_eq!(verified.report(), quote.report());
        assert_eq!(verified.trailing(), trailing);
    }
});
