//! `links`: the PCI Express links of GPUs, disks and network adapters, and whether these devices are there.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use super::metric::{Collect, Label, Labels, Metric, Sample};
use crate::node::Roots;
use crate::node::files::{names, read, read_number};
use crate::problem::FaultyObject;

const DEVICE: &[&str] = &["class", "device"];

/// The metrics of this collector.
pub const METRICS: &[Metric] = &[
    Metric::gauge(
        "pci/link_width",
        "pci_link_width",
        DEVICE,
        "Lanes of the PCI Express link that are used",
    )
    .about(device, &[]),
    Metric::gauge(
        "pci/link_width_max",
        "pci_link_width_max",
        DEVICE,
        "Lanes of the PCI Express link that the device could use",
    ),
    Metric::gauge(
        "pci/link_speed_gts",
        "pci_link_speed_gts",
        DEVICE,
        "Gigatransfers per second and lane; an idle device may be slower than it could be",
    ),
    Metric::gauge(
        "pci/link_speed_max_gts",
        "pci_link_speed_max_gts",
        DEVICE,
        "Gigatransfers per second and lane that the device could do",
    ),
    Metric::gauge(
        "pci/present",
        "pci_present",
        DEVICE,
        "1 while the GPU, accelerator or InfiniBand adapter answers, 0 if it is gone or does not",
    )
    .about(device, &["PCIDeviceGone", "GPULost", "NvidiaXid"]),
];

/// What a device's configuration space shows when the device does not answer.
const NO_ANSWER: [u8; 4] = [0xff; 4];

/// Reads `/sys/bus/pci/devices`.
#[derive(Default)]
pub struct PciCollector {
    /// The devices that must not vanish, and their classes. A slot has one at most.
    seen: BTreeMap<String, DeviceClass>,
}

/// The devices that matter here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum DeviceClass {
    Accelerator,
    Display,
    Infiniband,
    Network,
    Nvme,
    Storage,
}

impl DeviceClass {
    /// From the first four digits of the class, as the PCI code assignment has them.
    fn of(folder: &Path) -> Option<Self> {
        let class = read(&folder.join("class")).ok()?;
        match class.strip_prefix("0x")?.get(..4)? {
            "0108" => Some(Self::Nvme),
            "0207" => Some(Self::Infiniband),
            class => match class.get(..2)? {
                "01" => Some(Self::Storage),
                "02" => Some(Self::Network),
                "03" => Some(Self::Display),
                "12" => Some(Self::Accelerator),
                _ => None,
            },
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Accelerator => "accelerator",
            Self::Display => "display",
            Self::Infiniband => "infiniband",
            Self::Network => "network",
            Self::Nvme => "nvme",
            Self::Storage => "storage",
        }
    }

    /// Whether such a device is only removed when it fails. Clouds attach and detach disks and network
    /// adapters.
    fn stays(self) -> bool {
        matches!(self, Self::Accelerator | Self::Display | Self::Infiniband)
    }
}

impl Collect for PciCollector {
    fn collect(&mut self, roots: &Roots, sample: &mut Sample) -> anyhow::Result<()> {
        let devices = roots.sys.join("bus/pci/devices");
        for device in names(&devices) {
            let folder = devices.join(&device);
            let Some(class) = DeviceClass::of(&folder) else {
                continue;
            };
            link(&folder, &labels(class, &device), sample);
            // Virtual functions come and go.
            if class.stays() && !folder.join("physfn").exists() {
                self.seen.insert(device, class);
            }
        }
        if sample.wants("pci/present") {
            for (device, class) in &self.seen {
                let present = u64::from(answers(&devices.join(device)));
                sample.count("pci/present", labels(*class, device), present);
            }
        }
        Ok(())
    }
}

/// The drivers of GPUs name them without the number of the function.
fn device(labels: &Labels) -> FaultyObject {
    let [class, device] = [0, 1].map(|label| labels.get(label).map_or("", |label| &**label));
    let is_gpu = [DeviceClass::Accelerator, DeviceClass::Display].map(DeviceClass::name);
    let gpu = device.split_once('.');
    let gpu = gpu.filter(|_| is_gpu.contains(&class));
    let (kind, name) = gpu.map_or(("device", device), |(gpu, _)| ("gpu", gpu));
    FaultyObject {
        kind: kind.to_owned(),
        name: name.to_owned(),
    }
}

fn labels(class: DeviceClass, device: &str) -> Labels {
    Labels::from([class.name(), device].map(Label::from))
}

/// A device without a link has the width 0 or 255, and `Unknown` for the speed.
fn link(folder: &Path, labels: &Labels, sample: &mut Sample) {
    for (id, file) in [
        ("pci/link_width", "current_link_width"),
        ("pci/link_width_max", "max_link_width"),
    ] {
        let width = sample.wants(id).then(|| read_number(&folder.join(file)));
        if let Some(width @ 1..=32) = width.flatten() {
            sample.count(id, Labels::clone(labels), width);
        }
    }
    for (id, file) in [
        ("pci/link_speed_gts", "current_link_speed"),
        ("pci/link_speed_max_gts", "max_link_speed"),
    ] {
        // `16.0 GT/s PCIe`.
        let speed = sample.wants(id).then(|| read(&folder.join(file)).ok());
        let speed = speed.flatten();
        let speed = speed.and_then(|speed| speed.split_whitespace().next()?.parse().ok());
        if let Some(speed) = speed {
            sample.set(id, Labels::clone(labels), speed);
        }
    }
}

/// Whether the device is there and can be read.
fn answers(folder: &Path) -> bool {
    let mut identity = [0; NO_ANSWER.len()];
    let read =
        File::open(folder.join("config")).and_then(|mut file| file.read_exact(&mut identity));
    read.is_ok() && identity != NO_ANSWER
}
