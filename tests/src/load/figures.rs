//! Latencies and rates, and how they are shown.

use std::time::Duration;

use serde_json::{Value, json};

use super::procfs;

/// Latencies kept for one measurement: a bound on memory. What comes after counts in the rate, not in the percentiles.
const LATENCIES_MAX: usize = 20_000_000;

/// What a measurement collects.
#[derive(Default)]
pub(crate) struct Latencies {
    micros: Vec<u32>,
    pub(crate) count: u64,
}

impl Latencies {
    pub(crate) fn add(&mut self, took: Duration) {
        self.count += 1;
        if self.micros.len() < LATENCIES_MAX {
            self.micros.push(u32::try_from(took.as_micros()).unwrap_or(u32::MAX));
        }
    }

    /// The least latency that so many of a thousand did not exceed, in milliseconds.
    fn permille_ms(&self, permille: usize) -> f64 {
        let at = (self.micros.len() * permille).div_ceil(1_000).saturating_sub(1);
        self.micros.get(at).map_or(0.0, |&micros| f64::from(micros) / 1_000.0)
    }

    /// One line of the table.
    pub(crate) fn row(mut self, system: &str, senders: usize, elapsed: Duration, cost: Cost) -> Row {
        self.micros.sort_unstable();
        let seconds = elapsed.as_secs_f64().max(1e-9);
        Row {
            system: system.to_owned(),
            senders,
            count: self.count,
            per_s: self.count as f64 / seconds,
            p50_ms: self.permille_ms(500),
            p99_ms: self.permille_ms(990),
            server_share: cost.server.as_secs_f64() / seconds,
            driver_share: cost.driver.as_secs_f64() / seconds,
            others_share: cost.others.as_secs_f64() / seconds,
            floor: 0.0,
        }
    }
}

/// Processor time that a measurement took.
#[derive(Clone, Copy, Default)]
pub(crate) struct Cost {
    pub(crate) server: Duration,
    pub(crate) driver: Duration,
    /// What else the machine did: how far the figures can be trusted.
    pub(crate) others: Duration,
}

impl Cost {
    /// As of now; `server` is a process.
    pub(crate) fn so_far(server: Option<u32>) -> Result<Self, String> {
        let server = server.map_or(Ok(Duration::ZERO), procfs::cpu)?;
        let driver = procfs::cpu(std::process::id())?;
        Ok(Self { server, driver, others: procfs::machine_cpu()?.saturating_sub(server + driver) })
    }

    /// From then until now.
    pub(crate) fn since(before: Self, server: Option<u32>) -> Result<Self, String> {
        let now = Self::so_far(server)?;
        Ok(Self {
            server: now.server.saturating_sub(before.server),
            driver: now.driver.saturating_sub(before.driver),
            others: now.others.saturating_sub(before.others),
        })
    }
}

/// One line of the table.
pub(crate) struct Row {
    pub(crate) system: String,
    pub(crate) senders: usize,
    pub(crate) count: u64,
    pub(crate) per_s: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    /// Of one core.
    pub(crate) server_share: f64,
    pub(crate) driver_share: f64,
    pub(crate) others_share: f64,
    /// Raw syncs per second just before and after: disks that others share change from one minute to the next.
    pub(crate) floor: f64,
}

impl Row {
    /// Shares are of one core.
    pub(crate) const HEAD: &'static str = "system                     senders  messages/s   p50 ms   p99 ms  raw sync/s  \
                                           x raw sync  server CPU  driver CPU  others' CPU  server µs/message";

    pub(crate) fn text(&self) -> String {
        let each = if self.count == 0 { 0.0 } else { self.server_share * 1e6 / self.per_s };
        format!(
            "{:<26} {:>7} {:>11.0} {:>8.3} {:>8.3} {:>11.0} {:>11.2} {:>9.0} % {:>9.0} % {:>10.0} % {:>18.1}",
            self.system,
            self.senders,
            self.per_s,
            self.p50_ms,
            self.p99_ms,
            self.floor,
            self.ratio(),
            self.server_share * 100.0,
            self.driver_share * 100.0,
            self.others_share * 100.0,
            each,
        )
    }

    fn ratio(&self) -> f64 {
        if self.floor > 0.0 { self.per_s / self.floor } else { 0.0 }
    }

    pub(crate) fn json(&self) -> Value {
        json!({
            "system": self.system,
            "senders": self.senders,
            "messages": self.count,
            "per_s": self.per_s,
            "p50_ms": self.p50_ms,
            "p99_ms": self.p99_ms,
            "raw_sync_per_s": self.floor,
            "raw_sync_ratio": self.ratio(),
            "server_cpu": self.server_share,
            "driver_cpu": self.driver_share,
            "others_cpu": self.others_share,
        })
    }
}

pub(crate) fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles() {
        let mut latencies = Latencies::default();
        for millis in (1..=200).rev() {
            latencies.add(Duration::from_millis(millis));
        }
        let row = latencies.row("x", 1, Duration::from_secs(2), Cost::default());
        assert_eq!((row.count, row.per_s, row.p50_ms, row.p99_ms), (200, 100.0, 100.0, 198.0));
        let row = Latencies::default().row("x", 1, Duration::ZERO, Cost::default());
        assert_eq!((row.count, row.p99_ms), (0, 0.0));
        assert!(row.text().contains("0.000"));
    }
}
