//! This machine's platform, as images name it.

use anyhow::Result;
use oci::Platform;

use crate::usage::UsageError;

/// `--arch`, or this machine's.
pub fn platform(arch: Option<&Platform>) -> Result<Platform> {
    match arch {
        Some(platform) => Ok(platform.clone()),
        None => Ok(Platform::linux(machine_architecture()?)),
    }
}

/// This machine's architecture as Go, and so image configurations, name it.
fn machine_architecture() -> Result<&'static str> {
    let name = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "x86" => "386",
        "aarch64" => "arm64",
        "arm" => "arm",
        // Rust has one name for both byte orders.
        "powerpc64" if cfg!(target_endian = "little") => "ppc64le",
        "powerpc64" => "ppc64",
        "riscv64" => "riscv64",
        "s390x" => "s390x",
        "loongarch64" => "loong64",
        other => {
            return Err(UsageError(format!("images have no name for {other}; give --arch")).into());
        }
    };
    Ok(name)
}
