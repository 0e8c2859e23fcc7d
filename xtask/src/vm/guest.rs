//! A virtual machine that runs tests.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use xshell::{Shell, cmd};

use super::kernel::Kernel;
use crate::workspace::prepare;

/// The modules that a guest needs to read the host's files.
const MODULES: [&str; 4] = ["virtio_pci", "9pnet_virtio", "9p", "overlay"];

/// The programs that its first process uses.
const PROGRAMS: [&str; 8] = [
    "sh", "mount", "insmod", "cat", "mkdir", "cp", "chroot", "busybox",
];

/// A guest prints this when its tests have passed.
const PASSED: &str = "npd-vm: exit code 0";

/// Runs `tests` with `agent` under `kernel`. Returns whether they have passed.
pub(super) fn run(
    shell: &Shell,
    kernel: &Kernel,
    agent: &Path,
    tests: &str,
    arguments: &[&String],
) -> anyhow::Result<bool> {
    let archive = archive(shell, kernel)?;
    let mut words = vec!["--test-threads=1".to_owned(), "--color=never".to_owned()];
    words.extend(arguments.iter().map(|argument| (*argument).clone()));
    // The kernel passes unknown parameters without a dot to the first process, as variables. On a busy host
    // the timer ticks late, and with its check the kernel would panic.
    let append = format!(
        "console=ttyS0 quiet no_timer_check panic=-1 rdinit=/init MODULES={} NPD_AGENT={} TESTS={tests} ARGUMENTS=\"{}\"",
        kernel.modules.display(),
        agent.display(),
        words.join(" "),
    );
    let (image, console) = (&kernel.image, kernel.folder.join("console"));
    let serial = format!("stdio,id=console,signal=off,logfile={}", console.display());
    let files = "local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap";
    cmd!(
        shell,
        "timeout 30m qemu-system-x86_64 -accel tcg,thread=multi -cpu max -smp 2 -m 1536
         -nodefaults -display none -no-reboot -chardev {serial} -serial chardev:console
         -kernel {image} -initrd {archive} -append {append} -virtfs {files}"
    )
    .quiet()
    .run()
    .context("running a virtual machine")?;
    let console = shell.read_binary_file(&console)?;
    let console = String::from_utf8_lossy(&console);
    Ok(console.lines().any(|line| line.trim_end() == PASSED))
}

/// Makes the initramfs of a guest.
fn archive(shell: &Shell, kernel: &Kernel) -> anyhow::Result<PathBuf> {
    let folder = tempfile::tempdir().context("making a folder")?;
    let root = folder.path();
    for name in ["bin", "dev", "host", "modules", "own", "proc"] {
        shell.create_dir(root.join(name))?;
    }
    shell.copy_file("/bin/busybox", root.join("bin/.busybox"))?;
    for name in PROGRAMS {
        symlink(".busybox", root.join("bin").join(name)).context("naming a program")?;
    }
    let mut order = String::new();
    for file in kernel.modules(shell, &MODULES)? {
        let name = file.file_name().context("a module without a name")?;
        let name = name.to_string_lossy();
        let name = name.trim_end_matches(".xz");
        let content = if file.extension().is_some_and(|extension| extension == "xz") {
            cmd!(shell, "xz --decompress --stdout {file}")
                .quiet()
                .output()?
                .stdout
        } else {
            shell.read_binary_file(&file)?
        };
        shell.write_file(root.join("modules").join(name), content)?;
        order += name;
        order += "\n";
    }
    shell.write_file(root.join("order"), order)?;
    shell.write_file(root.join("tests.sh"), include_str!("tests.sh"))?;
    let init = root.join("init");
    shell.write_file(&init, include_str!("init.sh"))?;
    std::fs::set_permissions(&init, PermissionsExt::from_mode(0o755)).context("making /init")?;
    let archive = kernel.folder.join("initramfs");
    let _in_root = shell.push_dir(root);
    let make = "find . | cpio --create --format=newc --quiet > \"$0\"";
    prepare(cmd!(shell, "sh -c {make} {archive}")).context("making the initramfs of a guest")?;
    Ok(archive)
}
