//! Exporters report the hub's updates.
//!
//! A new exporter is one file (or folder) here and one line in [`EXPORTERS`].

mod kind;
pub mod kubernetes;
pub mod terminal;

pub use self::kind::{BuildContext, Built, Exporter, ExporterKind, Finish};

/// Every exporter, in the order in which they get updates.
pub const EXPORTERS: &[ExporterKind] = &[
    ExporterKind {
        name: "kubernetes",
        build: kubernetes::build,
    },
    ExporterKind {
        name: "terminal",
        build: terminal::build,
    },
];
