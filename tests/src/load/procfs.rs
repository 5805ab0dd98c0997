//! What Linux says of a process and of a folder.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

/// `USER_HZ`, the unit of the times in `/proc/PID/stat`: 100 on every Linux, whatever the kernel's own tick is.
const TICKS_PER_S: u64 = 100;

/// The unit of `st_blocks`.
const BLOCK_BYTES: u64 = 512;

/// Resident memory in bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Memory {
    pub(crate) now: u64,
    pub(crate) peak: u64,
}

/// Bytes that a process has written.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Written {
    /// Handed to the kernel by write calls.
    pub(crate) calls: u64,
    /// Sent to the storage layer, whole pages, or on their way there.
    pub(crate) storage: u64,
}

fn read(pid: u32, name: &str) -> Result<String, String> {
    let path = format!("/proc/{pid}/{name}");
    fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))
}

/// The number after `name:` in a file of such lines.
fn field(text: &str, name: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    rest.split_whitespace().next()?.parse().ok()
}

pub(crate) fn memory(pid: u32) -> Result<Memory, String> {
    let text = read(pid, "status")?;
    let bytes = |name| field(&text, name).map(|kib| kib << 10).ok_or(format!("/proc/{pid}/status has no {name}"));
    Ok(Memory { now: bytes("VmRSS")?, peak: bytes("VmHWM")? })
}

pub(crate) fn written(pid: u32) -> Result<Written, String> {
    let text = read(pid, "io")?;
    let bytes = |name| field(&text, name).ok_or(format!("/proc/{pid}/io has no {name}"));
    Ok(Written { calls: bytes("wchar")?, storage: bytes("write_bytes")? })
}

/// Processor time of all threads, user and system.
pub(crate) fn cpu(pid: u32) -> Result<Duration, String> {
    let text = read(pid, "stat")?;
    // The name in brackets may hold anything; what follows it is numbers. utime and stime are fields 14 and 15.
    let rest = text.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks: Vec<u64> = rest.split_whitespace().skip(11).take(2).filter_map(|field| field.parse().ok()).collect();
    match ticks.as_slice() {
        [user, system] => Ok(Duration::from_millis((user + system) * 1_000 / TICKS_PER_S)),
        _ => Err(format!("/proc/{pid}/stat is not understood")),
    }
}

/// Processor time that the whole machine spent on work, ours and that of others.
pub(crate) fn machine_cpu() -> Result<Duration, String> {
    let text = fs::read_to_string("/proc/stat").map_err(|error| format!("/proc/stat: {error}"))?;
    let first = text.lines().next().and_then(|line| line.strip_prefix("cpu ")).unwrap_or("");
    let ticks: Vec<u64> = first.split_whitespace().filter_map(|field| field.parse().ok()).collect();
    match ticks.as_slice() {
        // Between them idle and iowait; after them what a hypervisor and what guests took, who are counted already.
        [user, nice, system, _, _, irq, softirq, ..] => {
            Ok(Duration::from_millis((user + nice + system + irq + softirq) * 1_000 / TICKS_PER_S))
        }
        _ => Err("/proc/stat is not understood".to_owned()),
    }
}

/// Bytes of disk that the files below a folder take.
pub(crate) fn disk_bytes(folder: &Path) -> Result<u64, String> {
    let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
    let mut bytes = 0;
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        // A file that went while we looked takes nothing.
        let Ok(found) = entry.metadata() else { continue };
        bytes += if found.is_dir() { disk_bytes(&entry.path())? } else { found.blocks() * BLOCK_BYTES };
    }
    Ok(bytes)
}

/// How often threads whose names begin so have been woken, all together. One that was not has done nothing.
pub(crate) fn wakes(pid: u32, name: &str) -> Result<u64, String> {
    let path = format!("/proc/{pid}/task");
    let mut sum = 0;
    for entry in fs::read_dir(&path).map_err(|error| format!("{path}: {error}"))?.flatten() {
        let thread = format!("task/{}", entry.file_name().to_string_lossy());
        if read(pid, &format!("{thread}/comm"))?.starts_with(name) {
            let text = read(pid, &format!("{thread}/status"))?;
            sum += field(&text, "voluntary_ctxt_switches").ok_or("no count of context switches")?;
        }
    }
    Ok(sum)
}

/// Datagrams that the kernel has thrown away because the IPv4 socket at this port was full.
pub(crate) fn dropped(port: u16) -> Result<u64, String> {
    let path = "/proc/net/udp";
    let text = fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
    let at = format!(":{port:04X}");
    let of_port = text.lines().filter(|line| line.split_whitespace().nth(1).is_some_and(|local| local.ends_with(&at)));
    Ok(of_port.filter_map(|line| line.split_whitespace().last()?.parse::<u64>().ok()).sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_this_process() {
        let own = std::process::id();
        let found = memory(own).expect("on Linux");
        assert!(found.now > 0 && found.peak >= found.now);
        assert!(cpu(own).is_ok() && written(own).is_ok() && machine_cpu().is_ok());
        assert_eq!(field("VmRSS:\t  12 kB\nVmHWM:\t13 kB\n", "VmHWM"), Some(13));
        assert_eq!(field("VmRSS: x\n", "VmRSS"), None);
    }
}
