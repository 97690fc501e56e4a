//! What the standard library's sockets do not tell: how many datagrams the kernel dropped, and how long one was.

use std::io;
use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd};

use rustix::net::RecvFlags;

/// Bytes that the kernel is asked to hold for a socket.
const HELD: libc::c_int = 8 << 20;
/// Numbers of SO_MEMINFO (`linux/sock_diag.h`), of which the last are the drops.
const NUMBERS: usize = 9;

/// Asks the kernel to hold much. How much it holds is its own limit's affair (`net.core.rmem_max`), which root may pass.
pub(super) fn hold_much(socket: &impl AsRawFd) {
    let held = HELD;
    let ask = |option: libc::c_int| {
        // SAFETY: the value is an int that outlives the call, and its length is said.
        unsafe {
            libc::setsockopt(
                socket.as_raw_fd(),
                libc::SOL_SOCKET,
                option,
                (&raw const held).cast(),
                size_of::<libc::c_int>() as libc::socklen_t,
            ) == 0
        }
    };
    // Less room only means that drops, which are counted, come sooner.
    let _ = ask(libc::SO_RCVBUFFORCE) || ask(libc::SO_RCVBUF);
}

/// Datagrams that the kernel dropped because the socket was full, since it was opened (wraps): the counter that
/// SO_RXQ_OVFL sends along with datagrams, here also when none follows. `None` before Linux 4.12.
pub(super) fn drops(socket: &impl AsRawFd) -> Option<u32> {
    let mut numbers = [0u32; NUMBERS];
    let mut length = size_of_val(&numbers) as libc::socklen_t;
    // SAFETY: the kernel writes at most `length` bytes into the array that has as many.
    let done = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_MEMINFO,
            numbers.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    (done == 0 && length as usize == size_of_val(&numbers)).then_some(numbers[NUMBERS - 1])
}

/// Takes a datagram, if there is one: how much of it is in the buffer, and how long it was.
pub(super) fn receive(socket: &impl AsFd, buffer: &mut [u8]) -> io::Result<(usize, usize)> {
    let room = buffer.len();
    let (_, length) = rustix::net::recv(socket, &mut *buffer, RecvFlags::TRUNC | RecvFlags::DONTWAIT)?;
    Ok((length.min(room), length))
}
