//! The policy document, appraisal, the verdict, and the receipt bundle.
