//! Filters in tcpdump's syntax, compiled by libpcap into classic BPF for the kernel. Nothing else of libpcap is used.

use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_void};
use std::net::SocketAddr;

use super::links::LinkType;

/// Instructions of a compiled filter, as `SO_ATTACH_FILTER` takes them. Never empty.
#[derive(Debug, Clone)]
pub(super) struct Program {
    /// The instructions.
    pub(super) instructions: Vec<libc::sock_filter>,
}

/// What a tap keeps: the user's filter, the recorder's own listeners left out, cut at `snap` bytes.
#[derive(Debug, Clone, Default)]
pub(super) struct Filter {
    /// The user's expression; empty for everything.
    pub(super) expression: String,
    /// Ports of ours; their TCP traffic never enters the ring.
    pub(super) own: Vec<SocketAddr>,
    /// Bytes of each packet that the kernel copies into the ring.
    pub(super) snap: u32,
    /// Of these, bytes behind the headers.
    pub(super) payload: u32,
}

impl Filter {
    /// Whether the expression must be run on the packet as it was on the wire, in user space: the kernel takes VLAN
    /// tags out before it shows a packet, and a filter compiled off-line looks for them in the bytes.
    pub(super) fn needs_wire_bytes(&self) -> bool {
        self.expression.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| word == "vlan")
    }

    /// The program for the kernel, and the one to run in user space where there must be one.
    pub(super) fn compile(&self, link: LinkType) -> Result<(Program, Option<Program>), String> {
        let own = self.own.iter().map(|at| match at.ip().is_unspecified() {
            true => format!("not (tcp port {})", at.port()),
            false => format!("not (tcp port {} and host {})", at.port(), at.ip()),
        });
        let expression = self.expression.trim();
        if self.needs_wire_bytes() {
            let wire = compile(expression, link, self.snap)?;
            return Ok((compile(&own.collect::<Vec<_>>().join(" and "), link, self.snap)?, Some(wire)));
        }
        let user = (!expression.is_empty()).then(|| format!("({expression})"));
        let text = own.chain(user).collect::<Vec<_>>().join(" and ");
        Ok((compile(&text, link, self.snap)?.behind_headers(link, self.snap, self.payload), None))
    }
}

impl Program {
    /// The same, for packets that leave by this interface only.
    pub(super) fn outbound_only(&self) -> Program {
        // Not by libpcap's `outbound`: it refuses that word without a live handle. Jumps in classic BPF are relative
        // and forward, so a prefix changes nothing behind it.
        let ancillary = (libc::SKF_AD_OFF + libc::SKF_AD_PKTTYPE) as u32;
        let load = sock_filter((libc::BPF_LD | libc::BPF_B | libc::BPF_ABS) as u16, 0, 0, ancillary);
        let outgoing = u32::from(libc::PACKET_OUTGOING);
        let test = sock_filter((libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16, 1, 0, outgoing);
        let refuse = sock_filter((libc::BPF_RET | libc::BPF_K) as u16, 0, 0, 0);
        let mut instructions = vec![load, test, refuse];
        instructions.extend_from_slice(&self.instructions);
        Program { instructions }
    }

    /// The same, but of a plain TCP packet the kernel copies no more than its headers and `payload`: what a filter
    /// returns is the length to copy. Others are copied up to `snap` bytes and cut later.
    fn behind_headers(mut self, link: LinkType, snap: u32, payload: u32) -> Program {
        if link != LinkType::Ethernet {
            return self;
        }
        let end = self.instructions.len();
        for (at, instruction) in self.instructions.iter_mut().enumerate() {
            if instruction.code == (libc::BPF_RET | libc::BPF_K) as u16 && instruction.k == snap {
                *instruction = sock_filter((libc::BPF_JMP | libc::BPF_JA) as u16, 0, 0, (end - at - 1) as u32);
            }
        }
        self.instructions.extend(HEADERS.iter().map(|&(code, jt, jf, k)| {
            let k = match k {
                SNAP => snap,
                LINK_AND_PAYLOAD => 14 + payload,
                k => k,
            };
            sock_filter(code as u16, jt, jf, k)
        }));
        self
    }

    /// Refuses every packet: how a tap is closed before what it holds is read out.
    pub(super) fn refuse_all() -> Program {
        Program { instructions: vec![sock_filter((libc::BPF_RET | libc::BPF_K) as u16, 0, 0, 0)] }
    }

    /// Whether the filter takes a packet of `wire` bytes of which `bytes` are there.
    pub(super) fn takes(&self, bytes: &[u8], wire: u32) -> bool {
        self.run(bytes, wire) != 0
    }

    /// What the filter returns: how many bytes to copy.
    fn run(&self, bytes: &[u8], wire: u32) -> u32 {
        // SAFETY: the instructions came from pcap_compile, which ends every path in a return; bpf_filter reads the
        // packet within the captured length it is told.
        unsafe { bpf_filter(self.instructions.as_ptr(), bytes.as_ptr(), wire, bytes.len() as c_uint) }
    }
}

/// Places for what is known when the program is made.
const SNAP: u32 = u32::MAX;
const LINK_AND_PAYLOAD: u32 = u32::MAX - 1;

/// The length of a packet's headers, for TCP over IPv4 or IPv6 over Ethernet. A load beyond the packet would refuse it:
/// lengths are checked first. What does not fit ends at the last instruction.
const HEADERS: [(u32, u8, u8, u32); 29] = {
    use libc::{
        BPF_A, BPF_ABS, BPF_ADD, BPF_ALU, BPF_AND, BPF_B, BPF_H, BPF_IND, BPF_JA, BPF_JEQ, BPF_JGE, BPF_JMP, BPF_JSET,
        BPF_K, BPF_LD, BPF_LDX, BPF_LEN, BPF_MSH, BPF_RET, BPF_RSH, BPF_SUB, BPF_W, BPF_X,
    };
    [
        (BPF_LD | BPF_H | BPF_ABS, 0, 0, 12),
        (BPF_JMP | BPF_JEQ | BPF_K, 0, 14, 0x0800),
        // IPv4: TCP, no later fragment, 13 bytes of its header are there, and it is whole.
        (BPF_LD | BPF_B | BPF_ABS, 0, 0, 23),
        (BPF_JMP | BPF_JEQ | BPF_K, 0, 24, 6),
        (BPF_LD | BPF_H | BPF_ABS, 0, 0, 20),
        (BPF_JMP | BPF_JSET | BPF_K, 22, 0, 0x1fff),
        (BPF_LDX | BPF_B | BPF_MSH, 0, 0, 14),
        (BPF_LD | BPF_W | BPF_LEN, 0, 0, 0),
        (BPF_ALU | BPF_SUB | BPF_X, 0, 0, 0),
        (BPF_JMP | BPF_JGE | BPF_K, 0, 18, 27),
        (BPF_LD | BPF_B | BPF_IND, 0, 0, 26),
        (BPF_ALU | BPF_AND | BPF_K, 0, 0, 0xf0),
        (BPF_ALU | BPF_RSH | BPF_K, 0, 0, 2),
        (BPF_JMP | BPF_JGE | BPF_K, 0, 14, 20),
        (BPF_ALU | BPF_ADD | BPF_X, 0, 0, 0),
        (BPF_JMP | BPF_JA, 0, 0, 10),
        // IPv6: TCP without extension headers.
        (BPF_JMP | BPF_JEQ | BPF_K, 0, 11, 0x86dd),
        (BPF_LD | BPF_W | BPF_LEN, 0, 0, 0),
        (BPF_JMP | BPF_JGE | BPF_K, 0, 9, 67),
        (BPF_LD | BPF_B | BPF_ABS, 0, 0, 20),
        (BPF_JMP | BPF_JEQ | BPF_K, 0, 7, 6),
        (BPF_LD | BPF_B | BPF_ABS, 0, 0, 66),
        (BPF_ALU | BPF_AND | BPF_K, 0, 0, 0xf0),
        (BPF_ALU | BPF_RSH | BPF_K, 0, 0, 2),
        (BPF_JMP | BPF_JGE | BPF_K, 0, 3, 20),
        (BPF_ALU | BPF_ADD | BPF_K, 0, 0, 40),
        (BPF_ALU | BPF_ADD | BPF_K, 0, 0, LINK_AND_PAYLOAD),
        (BPF_RET | BPF_A, 0, 0, 0),
        (BPF_RET | BPF_K, 0, 0, SNAP),
    ]
};

fn sock_filter(code: u16, jt: u8, jf: u8, k: u32) -> libc::sock_filter {
    libc::sock_filter { code, jt, jf, k }
}

/// Compiles an expression; the error is libpcap's.
fn compile(expression: &str, link: LinkType, snap: u32) -> Result<Program, String> {
    let text = CString::new(expression).map_err(|_| "the filter holds a NUL byte".to_owned())?;
    // SAFETY: takes two integers; the result is checked, and closed by Dead.
    let raw = unsafe { pcap_open_dead(link.number() as c_int, snap as c_int) };
    if raw.is_null() {
        return Err("out of memory".to_owned());
    }
    let handle = Dead(raw);
    let mut program = BpfProgram { len: 0, instructions: std::ptr::null_mut() };
    // SAFETY: the handle and the NUL-terminated text live until after the call, the program is ours to be filled.
    if unsafe { pcap_compile(handle.0, &mut program, text.as_ptr(), 1, NETMASK_UNKNOWN) } != 0 {
        // SAFETY: pcap_geterr gives the handle's own NUL-terminated buffer, read before the handle is closed.
        return Err(unsafe { CStr::from_ptr(pcap_geterr(handle.0)) }.to_string_lossy().into_owned());
    }
    // SAFETY: on success there are `len` instructions, in the layout of struct sock_filter (it is the same struct);
    // they are copied before they are freed.
    let instructions = unsafe { std::slice::from_raw_parts(program.instructions, program.len as usize) }.to_vec();
    // SAFETY: the program was filled by pcap_compile and is not used after this.
    unsafe { pcap_freecode(&mut program) };
    Ok(Program { instructions })
}

const NETMASK_UNKNOWN: u32 = u32::MAX;

/// A libpcap handle that is not a capture.
struct Dead(*mut c_void);

impl Drop for Dead {
    fn drop(&mut self) {
        // SAFETY: the handle came from pcap_open_dead and is closed once.
        unsafe { pcap_close(self.0) }
    }
}

#[repr(C)]
struct BpfProgram {
    len: c_uint,
    instructions: *mut libc::sock_filter,
}

// Always the static library: the recorder must run where there is no libpcap. `-bundle` leaves finding it to the
// linker, which searches where the distribution puts it.
#[link(name = "pcap", kind = "static", modifiers = "-bundle")]
unsafe extern "C" {
    fn pcap_open_dead(linktype: c_int, snaplen: c_int) -> *mut c_void;
    fn pcap_close(handle: *mut c_void);
    fn pcap_geterr(handle: *mut c_void) -> *const c_char;
    fn pcap_compile(
        handle: *mut c_void,
        program: *mut BpfProgram,
        text: *const c_char,
        optimize: c_int,
        netmask: u32,
    ) -> c_int;
    fn pcap_freecode(program: *mut BpfProgram);
    fn bpf_filter(
        program: *const libc::sock_filter,
        packet: *const u8,
        wire_length: c_uint,
        captured: c_uint,
    ) -> c_uint;
}

/// Debian's static libpcap captures from D-Bus and RDMA too, and would need their libraries, of which the first has no
/// static form. We open no device through it: these stand in for those two modules, so that the linker leaves them
/// out. Each says "no such device" and "no devices".
mod absent {
    use std::ffi::{c_char, c_int, c_void};

    #[unsafe(no_mangle)]
    extern "C" fn dbus_create(_device: *const c_char, _errors: *mut c_char, is_ours: *mut c_int) -> *mut c_void {
        no_device(is_ours)
    }

    #[unsafe(no_mangle)]
    extern "C" fn rdmasniff_create(_device: *const c_char, _errors: *mut c_char, is_ours: *mut c_int) -> *mut c_void {
        no_device(is_ours)
    }

    #[unsafe(no_mangle)]
    extern "C" fn dbus_findalldevs(_list: *mut c_void, _errors: *mut c_char) -> c_int {
        0
    }

    #[unsafe(no_mangle)]
    extern "C" fn rdmasniff_findalldevs(_list: *mut c_void, _errors: *mut c_char) -> c_int {
        0
    }

    fn no_device(is_ours: *mut c_int) -> *mut c_void {
        if !is_ours.is_null() {
            // SAFETY: libpcap passes a pointer to a live int of its own.
            unsafe { *is_ours = 0 };
        }
        std::ptr::null_mut()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn filter(expression: &str) -> Filter {
        Filter { expression: expression.into(), own: vec!["127.0.0.1:4317".parse().unwrap()], snap: 512, payload: 10 }
    }

    /// An Ethernet frame with IPv4 and TCP between two ports.
    fn tcp(from: u16, to: u16) -> Vec<u8> {
        let mut frame = vec![0; 12];
        frame.extend_from_slice(&[8, 0, 0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0, 127, 0, 0, 1, 127, 0, 0, 1]);
        frame.extend_from_slice(&from.to_be_bytes());
        frame.extend_from_slice(&to.to_be_bytes());
        frame.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 0, 0x50, 2, 0, 0, 0, 0, 0, 0]);
        frame
    }

    #[test]
    fn the_users_filter_and_the_recorders_own_ports_are_one_program() {
        let (program, wire) = filter("tcp port 80 or tcp port 4317").compile(LinkType::Ethernet).unwrap();
        assert!(wire.is_none());
        assert!(program.takes(&tcp(1, 80), 54));
        assert!(!program.takes(&tcp(1, 81), 54));
        assert!(!program.takes(&tcp(1, 4317), 54), "our own listener");
    }

    #[test]
    fn of_tcp_only_headers_and_what_was_asked_for_are_copied_and_of_others_the_start() {
        let (program, _) = filter("not port 99").compile(LinkType::Ethernet).unwrap();
        let with = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut frame = tcp(1, 80);
            change(&mut frame);
            frame.resize(1000, 7);
            program.run(&frame, 1000)
        };
        assert_eq!(with(&|_| {}), 54 + 10);
        assert_eq!(with(&|f| f[46] = 0xf0), 94 + 10, "60 bytes of TCP header");
        assert_eq!(with(&|f| f[14] = 0x4f), 512, "IPv4 options put other bytes at TCP's data offset");
        assert_eq!(with(&|f| f[46] = 0x10), 512, "no TCP header is so short");
        assert_eq!(with(&|f| f[23] = 17), 512, "UDP");
        assert_eq!(with(&|f| f[21] = 1), 512, "a later fragment");
        assert_eq!(with(&|f| f[12] = 0x90), 512, "not IP");
        assert_eq!(with(&|f| f.splice(34..36, [0, 99]).for_each(drop)), 0, "the user's filter comes first");
        let v6 = |next: u8| {
            let mut frame = vec![0; 12];
            frame.extend_from_slice(&[0x86, 0xdd, 0x60, 0, 0, 0, 0, 20, next, 64]);
            frame.resize(54, 0);
            frame.extend_from_slice(&[0, 1, 0, 80, 0, 0, 0, 0, 0, 0, 0, 0, 0x80]);
            frame.resize(900, 0);
            frame
        };
        assert_eq!(program.run(&v6(6), 900), 14 + 40 + 32 + 10);
        assert_eq!(program.run(&v6(0), 900), 512, "extension headers");
        for short in 0..67 {
            let frame = &tcp(1, 80)[..short.min(54)];
            let taken = program.run(frame, short as u32);
            assert!(taken == 512 || taken == 64 || short < 38, "{short} bytes: {taken}");
        }
    }

    #[test]
    fn a_bad_filter_gets_libpcaps_own_words() {
        let error = filter("tcp prt 80").compile(LinkType::Ethernet).unwrap_err();
        assert!(error.contains("syntax error"), "{error}");
    }

    #[test]
    fn vlan_filters_see_the_bytes_of_the_wire() {
        let (_, wire) = filter("vlan 5 and tcp").compile(LinkType::Ethernet).unwrap();
        let wire = wire.unwrap();
        let mut tagged = tcp(1, 2);
        tagged.splice(12..12, [0x81, 0, 0, 5]);
        assert!(wire.takes(&tagged, 58));
        assert!(!wire.takes(&tcp(1, 2), 54));
    }
}
