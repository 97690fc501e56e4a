//! The block devices: names, partitions, what they stand on, where they are mounted.

use std::collections::HashMap;
use std::path::Path;

use coldcase_model::events::Device;

use crate::clock;

/// Devices that are listed at most.
const MOST: usize = 4096;
/// Mount points of one device that are listed at most: containers bind the same disk hundreds of times.
const MOUNTS: usize = 8;

/// Every block device with its partitions. Unused loop devices and RAM disks (of no size) are left out.
pub(crate) fn all() -> Vec<Device> {
    let mounts =
        std::fs::read_to_string("/proc/1/mountinfo").or_else(|_| std::fs::read_to_string("/proc/self/mountinfo"));
    below(Path::new("/sys/class/block"), &mount_points(&mounts.unwrap_or_default()))
}

fn below(folder: &Path, mounts: &HashMap<u32, String>) -> Vec<Device> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut rows: Vec<Device> = entries.flatten().take(MOST).filter_map(|e| device(&e.path(), mounts)).collect();
    rows.sort_by_key(|row| row.dev);
    rows
}

fn device(path: &Path, mounts: &HashMap<u32, String>) -> Option<Device> {
    let text = |file: &str| std::fs::read_to_string(path.join(file)).map(|t| t.trim_end_matches('\n').to_owned()).ok();
    let dev = number(&text("dev")?)?;
    if text("size").is_some_and(|s| s == "0") {
        return None;
    }
    let name = path.file_name()?.to_string_lossy().into_owned();
    let disk = match text("partition") {
        // The link leads to …/block/<disk>/<partition>.
        Some(_) => path.canonicalize().ok()?.parent()?.file_name()?.to_string_lossy().into_owned(),
        None => String::new(),
    };
    let below: Vec<String> = std::fs::read_dir(path.join("slaves"))
        .map(|slaves| slaves.flatten().map(|e| e.file_name().to_string_lossy().into_owned()).collect())
        .unwrap_or_default();
    let backing = text("loop/backing_file").unwrap_or_else(|| below.join(" "));
    let what = kind(&name, &disk).to_owned();
    let mounts = mounts.get(&dev).cloned().unwrap_or_default();
    Some(Device { time: clock::boottime().0, dev, name, what, disk, backing, mounts })
}

fn kind(name: &str, disk: &str) -> &'static str {
    const KINDS: [(&str, &str); 5] =
        [("loop", "loop"), ("dm-", "device-mapper"), ("md", "raid"), ("zram", "memory"), ("ram", "memory")];
    if !disk.is_empty() {
        return "partition";
    }
    KINDS.iter().find(|(prefix, _)| name.starts_with(prefix)).map_or("disk", |(_, kind)| kind)
}

/// `254:0` as the kernel packs it.
fn number(text: &str) -> Option<u32> {
    let (major, minor) = text.split_once(':')?;
    let (major, minor): (u32, u32) = (major.parse().ok()?, minor.parse().ok()?);
    Some(major << 20 | minor & 0xf_ffff)
}

/// Mount points by device, from the text of a mountinfo.
fn mount_points(text: &str) -> HashMap<u32, String> {
    let mut found = HashMap::<u32, Vec<String>>::new();
    for line in text.lines() {
        let Some((left, right)) = line.split_once(" - ") else { continue };
        let mut left = left.split(' ').skip(2);
        let (Some(dev), Some(at)) = (left.next().and_then(number), left.nth(1)) else { continue };
        let mounts = found.entry(dev).or_default();
        if mounts.len() < MOUNTS {
            mounts.push(format!("{}\t{}", unescape(at), right.split(' ').next().unwrap_or("")));
        }
    }
    found.into_iter().map(|(dev, mounts)| (dev, mounts.join("\n"))).collect()
}

/// `\040` as a space, and what else mountinfo escapes.
fn unescape(path: &str) -> String {
    const ESCAPES: [(&str, &str); 4] = [("\\040", " "), ("\\011", " "), ("\\012", " "), ("\\134", "\\")];
    ESCAPES.iter().fold(path.to_owned(), |path, (from, to)| path.replace(from, to))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn mount_points_are_found_by_device_and_a_line_each() {
        let text =
            "27 1 254:1 / / rw shared:1 - ext4 /dev/vda1 rw\n28 27 254:1 /a /mnt/with\\040space rw - ext4 x rw\nbad\n";
        let mounts = mount_points(text);
        assert_eq!(mounts[&(254 << 20 | 1)], "/\text4\n/mnt/with space\text4");
        assert_eq!(mounts.len(), 1);
    }

    #[test]
    fn every_device_that_did_something_is_listed_with_its_name() {
        let stats = std::fs::read_to_string("/proc/diskstats").unwrap_or_default();
        let rows = all();
        let mut busy = 0;
        for words in stats.lines().map(|l| l.split_whitespace().collect::<Vec<_>>()) {
            if words.len() > 3 && words[3] != "0" {
                let dev = number(&format!("{}:{}", words[0], words[1])).unwrap();
                assert_eq!(rows.iter().find(|r| r.dev == dev).unwrap().name, words[2]);
                busy += 1;
            }
        }
        if busy == 0 {
            eprintln!("skipped: no block device here did anything");
        }
    }

    #[test]
    fn kinds_follow_the_names_that_the_kernel_gives() {
        let of = |name: &str| kind(name, "");
        assert_eq!(
            [of("dm-3"), of("loop1"), of("zram0"), of("nvme0n1"), of("md127")],
            ["device-mapper", "loop", "memory", "disk", "raid"]
        );
        assert_eq!(kind("vda1", "vda"), "partition");
    }
}
