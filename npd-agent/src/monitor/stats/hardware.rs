//! `hardware`: errors that memory controllers, `PCIe` devices and disks report.

use std::path::Path;

use super::metric::{Collect, Label, Metric, Sample, object};
use crate::node::Roots;
use crate::node::files::{names, read, read_number};

/// The metrics of this collector. Without the hardware or the driver, a metric has no series.
pub const METRICS: &[Metric] = &[
    Metric::counter(
        "edac/errors_total",
        "edac_errors_total",
        &["controller", "severity"],
        "Memory errors that were corrected, or could not be corrected (EDAC)",
    ),
    Metric::counter(
        "pcie/aer_errors_total",
        "pcie_aer_errors_total",
        &["device", "severity"],
        "Errors that PCIe devices report of their links and transactions (AER, Linux 4.19)",
    ),
    Metric::counter(
        "scsi/io_errors_total",
        "scsi_io_errors_total",
        &["device"],
        "Commands that SCSI and ATA disks ended with an error",
    ),
    Metric::counter(
        "scsi/timeouts_total",
        "scsi_timeouts_total",
        &["device"],
        "Commands that SCSI and ATA disks did not answer in time",
    ),
    Metric::gauge(
        "nvme/live",
        "nvme_live",
        &["controller"],
        "1 while the NVMe controller is live, 0 while it resets or is dead",
    )
    .about(
        |labels| object("controller", labels),
        &["NVMeControllerDown"],
    ),
];

/// Reads `/sys`.
pub struct HardwareCollector;

impl Collect for HardwareCollector {
    fn collect(&mut self, roots: &Roots, sample: &mut Sample) -> anyhow::Result<()> {
        if sample.wants("edac/errors_total") {
            edac(&roots.sys.join("devices/system/edac/mc"), sample);
        }
        if sample.wants("pcie/aer_errors_total") {
            aer(&roots.sys.join("bus/pci/devices"), sample);
        }
        for (id, file) in [
            ("scsi/io_errors_total", "ioerr_cnt"),
            ("scsi/timeouts_total", "iotmo_cnt"),
        ] {
            if sample.wants(id) {
                scsi(&roots.sys.join("block"), id, file, sample);
            }
        }
        if sample.wants("nvme/live") {
            nvme(&roots.sys.join("class/nvme"), sample);
        }
        Ok(())
    }
}

fn edac(controllers: &Path, sample: &mut Sample) {
    for controller in names(controllers) {
        for (severity, file) in [("corrected", "ce_count"), ("uncorrected", "ue_count")] {
            if let Some(count) = read_number(&controllers.join(&controller).join(file)) {
                let labels = [&*controller, severity].map(Label::from);
                sample.count("edac/errors_total", labels, count);
            }
        }
    }
}

/// A device without the capability has no such files.
fn aer(devices: &Path, sample: &mut Sample) {
    for device in names(devices) {
        for severity in ["correctable", "nonfatal", "fatal"] {
            let file = devices.join(&device).join(format!("aer_dev_{severity}"));
            let Ok(text) = read(&file) else { continue };
            // Each line is one kind of error; the last is the total, `TOTAL_ERR_COR 7`.
            let total = text
                .lines()
                .find_map(|line| line.strip_prefix("TOTAL_ERR_"));
            let count = total.and_then(|total| total.split_once(' ')?.1.parse().ok());
            if let Some(count) = count {
                let labels = [&*device, severity].map(Label::from);
                sample.count("pcie/aer_errors_total", labels, count);
            }
        }
    }
}

fn scsi(disks: &Path, id: &str, file: &str, sample: &mut Sample) {
    for disk in names(disks) {
        let Ok(text) = read(&disks.join(&disk).join("device").join(file)) else {
            continue;
        };
        let digits = text.trim().trim_start_matches("0x");
        if let Ok(count) = u64::from_str_radix(digits, 16) {
            sample.count(id, [Label::from(disk)], count);
        }
    }
}

fn nvme(controllers: &Path, sample: &mut Sample) {
    for controller in names(controllers) {
        if let Ok(state) = read(&controllers.join(&controller).join("state")) {
            let live = u64::from(state.trim() == "live");
            sample.count("nvme/live", [Label::from(controller)], live);
        }
    }
}
