//! The admission codec: bytes of an AdmissionReview ⇄ the engine's request and decision.
//!
//! Source: `k8s.io/api/admission/v1`. Only version v1 is spoken, which every API server since 1.16 sends.

mod decode;
mod encode;
pub mod registration;
mod validation;

pub use decode::{BadReview, Wanted, decode};
pub use encode::{encode, encode_refusal};
pub use validation::{Applied, Said, Scaled, applied, reply};

/// The API version of every AdmissionReview.
const API_VERSION: &str = "admission.k8s.io/v1";
/// The kind of every AdmissionReview.
const KIND: &str = "AdmissionReview";
