//! Words for calls into libraries.

/// `function` of `kernel.tls` in words.
pub fn tls_function(function: u32) -> &'static str {
    match function {
        1 => "SSL_read",
        2 => "SSL_read_ex",
        3 => "SSL_write",
        4 => "SSL_write_ex",
        5 => "SSL_do_handshake",
        _ => "TLS call",
    }
}

/// Whether `function` of `kernel.tls` reads (`Some(true)`), writes (`Some(false)`), or neither.
pub fn tls_reads(function: u32) -> Option<bool> {
    match function {
        1 | 2 => Some(true),
        3 | 4 => Some(false),
        _ => None,
    }
}

/// `function` of `kernel.tls` that is a handshake.
pub const TLS_HANDSHAKE: u32 = 5;

/// What `getaddrinfo` returned, by its name in `netdb.h`: the numbers of glibc and musl.
pub fn lookup_error(result: i32) -> &'static str {
    match result {
        0 => "OK",
        -1 => "EAI_BADFLAGS",
        -2 => "EAI_NONAME",
        -3 => "EAI_AGAIN",
        -4 => "EAI_FAIL",
        -5 => "EAI_NODATA",
        -6 => "EAI_FAMILY",
        -7 => "EAI_SOCKTYPE",
        -8 => "EAI_SERVICE",
        -9 => "EAI_ADDRFAMILY",
        -10 => "EAI_MEMORY",
        -11 => "EAI_SYSTEM",
        -12 => "EAI_OVERFLOW",
        _ => "unknown error",
    }
}
