//! `hardware`: errors that memory controllers, `PCIe` devices and disks report.

use std::path::Path;

use super::files::{names, read, read_number};
use super::metric::{Collect, Metric, Pass};
use super::store::Label;
use crate::node::Roots;

/// What this collector can measure. A machine without the hardware, or a kernel without the driver,
/// shows no series of it.
pub const METRICS: &[Metric] = &[
    Metric::counter(
        "edac/errors",
        &["controller", "severity"],
        "Memory errors that were corrected, or could not be (EDAC)",
    ),
    Metric::counter(
        "pcie/aer_errors",
        &["device", "severity", "error"],
        "PCIe errors by device and kind (AER, Linux 4.19)",
    ),
    Metric::counter(
        "scsi/io_errors",
        &["device"],
        "Commands that SCSI and ATA devices ended with an error",
    ),
    Metric::gauge(
        "nvme/live",
        &["controller"],
        "1 while the NVMe controller is live, 0 while it resets or is dead",
    ),
];

/// Reads `/sys`.
pub struct Hardware;

impl Collect for Hardware {
    fn collect(&mut self, roots: &Roots, pass: &mut Pass) -> anyhow::Result<()> {
        if pass.wants("edac/errors") {
            edac(&roots.sys.join("devices/system/edac/mc"), pass);
        }
        if pass.wants("pcie/aer_errors") {
            aer(&roots.sys.join("bus/pci/devices"), pass);
        }
        if pass.wants("scsi/io_errors") {
            scsi(&roots.sys.join("block"), pass);
        }
        if pass.wants("nvme/live") {
            nvme(&roots.sys.join("class/nvme"), pass);
        }
        Ok(())
    }
}

fn edac(controllers: &Path, pass: &mut Pass) {
    for controller in names(controllers) {
        for (severity, file) in [("corrected", "ce_count"), ("uncorrected", "ue_count")] {
            if let Some(count) = read_number(&controllers.join(&controller).join(file)) {
                let labels = [Label::from(&*controller), Label::from(severity)];
                pass.count("edac/errors", &labels, count);
            }
        }
    }
}

fn aer(devices: &Path, pass: &mut Pass) {
    for device in names(devices) {
        for severity in ["correctable", "nonfatal", "fatal"] {
            let file = devices.join(&device).join(format!("aer_dev_{severity}"));
            let Ok(text) = read(&file) else { continue };
            for line in text.lines() {
                let Some((error, count)) = line.rsplit_once(' ') else {
                    continue;
                };
                // Most devices have had no error of most kinds: those would be hundreds of series.
                if let Some(count) = count.parse().ok().filter(|count| *count > 0) {
                    let labels = [&*device, severity, error].map(Label::from);
                    pass.count("pcie/aer_errors", &labels, count);
                }
            }
        }
    }
}

fn scsi(disks: &Path, pass: &mut Pass) {
    for disk in names(disks) {
        let Ok(text) = read(&disks.join(&disk).join("device/ioerr_cnt")) else {
            continue;
        };
        let digits = text.trim().trim_start_matches("0x");
        if let Ok(count) = u64::from_str_radix(digits, 16) {
            pass.count("scsi/io_errors", &[Label::from(&*disk)], count);
        }
    }
}

fn nvme(controllers: &Path, pass: &mut Pass) {
    for controller in names(controllers) {
        if let Ok(state) = read(&controllers.join(&controller).join("state")) {
            let live = u64::from(state.trim() == "live");
            pass.count("nvme/live", &[Label::from(&*controller)], live);
        }
    }
}
