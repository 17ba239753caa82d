//! What the tests of this room share.

use std::sync::Arc;

use super::app::App;
use super::{Policy, Settings};

/// An app with the default policy.
pub(super) fn app() -> Arc<App> {
    app_with(Settings::default())
}

pub(super) fn app_with(settings: Settings) -> Arc<App> {
    App::new(settings, Policy::load(&[]).unwrap()).unwrap()
}
