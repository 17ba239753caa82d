//! The log: on standard error, for people on a terminal and as JSON elsewhere.

use std::io::{self, IsTerminal};
use std::panic::PanicHookInfo;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use super::settings::{LogFormat, LogLevel, LogSettings};

/// Starts the log of this process. A second call changes nothing.
pub fn start(settings: &LogSettings) {
    let terminal = io::stderr().is_terminal();
    let json = match settings.format {
        LogFormat::Auto => !terminal,
        LogFormat::Text => false,
        LogFormat::Json => true,
    };
    let (own, others) = match settings.level {
        LogLevel::Error => (LevelFilter::ERROR, LevelFilter::ERROR),
        LogLevel::Warn => (LevelFilter::WARN, LevelFilter::WARN),
        LogLevel::Info => (LevelFilter::INFO, LevelFilter::WARN),
        LogLevel::Debug => (LevelFilter::DEBUG, LevelFilter::WARN),
        LogLevel::Trace => (LevelFilter::TRACE, LevelFilter::DEBUG),
    };
    let filter = Targets::new().with_default(others).with_target("label_router", own);
    let registry = tracing_subscriber::registry().with(filter);
    let started = if json {
        registry
            .with(fmt::layer().json().flatten_event(true).with_writer(io::stderr))
            .try_init()
    } else {
        let colored = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        registry
            .with(
                fmt::layer()
                    .with_target(false)
                    .with_ansi(colored)
                    .with_writer(io::stderr),
            )
            .try_init()
    };
    if started.is_ok() {
        std::panic::set_hook(Box::new(log_panic));
    }
}

/// Says where a panic happened. What it says is told only where it was written into the program: a formatted message may
/// hold a piece of somebody's Pod.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    let reason = panic.payload().downcast_ref::<&'static str>().copied();
    tracing::error!(place, reason, "label-router failed: this is a bug, please report it");
}
